// The daemon's side of crisp-keeper: launching, holding, logging, exits. Comfortable world; any
// thread may call.
//
// Everything is held twice: the keeper has dups of the daemon's fds and the daemon of the keeper's.
// So
//  - the daemon may die at any time: a new one gets all of it back by Enumerate;
//  - the keeper may die at any time: this client notices, starts a new keeper, hands the fds and
//  the slot table (a memfd)
//    over, and takes exit codes of the gap from PIDFD_GET_INFO. Launches in flight then end with
//    UNAVAILABLE.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/kernel_features.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::keeper {

struct KeeperOptions {
  std::string binary;      // path of crisp-keeper; run from a sealed memfd copy (R5)
  std::string socket_dir;  // <state>/keeper, 0700: socket "keeper.sock"
  KernelFeatures features;
  bool spawn = true;  // false: only connect (the keeper is its own systemd unit)
};

struct ExitEvent {
  std::string id;       // container id, or the exec id of an exec
  int wait_status = 0;  // wait(2) form; kUnknownStatus when nobody can tell
  int64_t time_nanos = 0;
};
inline constexpr int kUnknownStatus = -1;  // reported as exit code 255, reason "Unknown"

// A pod's fds for safe keeping, by fixed role; -1 = none.
struct PodFds {
  int net = -1, ipc = -1, uts = -1, shm = -1, files = -1, user = -1;
};

struct LaunchRequest {
  std::string id;
  std::string pod_id;    // "": none; how many of its launches may hang is limited
  std::string plan;      // flat plan (runtime/container/launch_plan)
  std::vector<int> fds;  // borrowed; what the plan's indices mean. At most 200.
  // The keeper's ends of stdio, borrowed. stdin is the daemon's business (streaming); its write end
  // is only held.
  int stdout_read = -1, stderr_read = -1, pty_master = -1, stdin_write = -1;
  int log = -1;  // opened by the daemon O_WRONLY (not O_APPEND), -1 = no log: output is drained and
                 // dropped
  uint64_t log_offset = 0;      // where to write: its size
  uint32_t max_line = 16384;    // longer lines are split with tag P
  uint64_t log_file_bytes = 0;  // output beyond this is dropped, and a line says so; 0: no limit
  uint64_t log_rate_bytes = 0;  // the same for the output of one second
  int deadline_ms = 30000;
};

struct LaunchResult {
  pid_t pid = -1;
  UniqueFd pidfd;
  int64_t started_nanos = 0;
};

struct ExecRequest {
  std::string id;            // a new random id
  std::string container_id;  // "": none, a program of the host
  std::string pod_id;        // as LaunchRequest's
  std::string plan;
  std::vector<int> fds;  // borrowed
  int deadline_ms = 30000;
};

// What Enumerate gives back to a daemon that was away.
struct HeldPod {
  std::string id;
  UniqueFd net, ipc, uts, shm, files, user;
};
struct HeldContainer {
  std::string id;
  pid_t pid = -1;
  int64_t started_nanos = 0;
  bool exited = false;
  ExitEvent exit;
  UniqueFd pidfd, stdin_write;
};

class KeeperClient {
 public:
  virtual ~KeeperClient() = default;
  // Connects; if nobody answers and options.spawn, starts a keeper, detached. `on_exit` is called
  // on the client's own thread, once per exit until acknowledged; it must not block.
  static StatusOr<std::unique_ptr<KeeperClient>> Connect(
      const KeeperOptions& options, std::function<void(const ExitEvent&)> on_exit);

  virtual Status HoldPod(const std::string& id, const PodFds& fds) = 0;
  // Blocks until the workload runs or failed: INTERNAL/NOT_FOUND/... "launch: step execve: /bin/x:
  // ENOENT (...)". UNAVAILABLE: the keeper died; the caller kills the cgroup, then may retry.
  virtual StatusOr<LaunchResult> Launch(const LaunchRequest& request) = 0;
  // A container that a program run by LaunchExec started, and whose first process is the keeper's
  // child by now: its logs and its exit from here on. `plan` and `fds` of the request are not used.
  // Gives the time of the hold. UNAVAILABLE: the keeper died; the caller ends the container.
  virtual StatusOr<int64_t> HoldContainer(const LaunchRequest& request, pid_t pid, int pidfd) = 0;
  virtual StatusOr<LaunchResult> LaunchExec(const ExecRequest& request) = 0;
  // Log rotation: from the next batch on, lines go to `log` at `offset`. Returns when the old file
  // is no longer written.
  virtual Status SetLog(const std::string& id, int log, uint64_t offset) = 0;
  // From now on the container's output goes to these write ends, too (-1: not wanted; a terminal's
  // is stdout), and `life` is held until both have ended. A stream that has ended is closed at
  // once. A client that does not read holds the container up for `patience_ms`, then it is cut off:
  // its pipe ends. Pipes also end when the keeper dies. UNIMPLEMENTED: a keeper of before.
  virtual Status Attach(const std::string& id, int stdout_write, int stderr_write, int life,
                        int patience_ms) = 0;
  // All that the container wrote to these streams has been read (or nothing is known of it).
  virtual bool OutputEnded(const std::string& id, bool out, bool err) = 0;
  // Lets go of the write end of the container's stdin; the caller closes his own.
  virtual Status CloseStdin(const std::string& id) = 0;
  // The master of its terminal, while it has one.
  virtual StatusOr<UniqueFd> Terminal(const std::string& id) = 0;
  // NOT_FOUND if the process is gone. By pidfd, never by number.
  virtual Status Signal(const std::string& id, int signal) = 0;
  // Waits until everything that the container wrote before is in its log file (exit: until EOF or
  // `timeout_ms`).
  virtual Status FlushLog(const std::string& id, int timeout_ms) = 0;
  // Output that was not written because of the log's limits, so far. 0 for what is not held.
  virtual uint64_t DroppedLogBytes(const std::string& id) = 0;
  // The exit was journaled: the keeper may forget its code.
  virtual void AckExit(const std::string& id) = 0;
  // Lets go of everything held for a pod, container or exec.
  virtual void Drop(const std::string& id) = 0;
  virtual StatusOr<std::vector<HeldPod>> EnumeratePods() = 0;
  virtual StatusOr<std::vector<HeldContainer>> EnumerateContainers() = 0;
  virtual pid_t keeper_pid() const = 0;
};

}  // namespace crisp::keeper
