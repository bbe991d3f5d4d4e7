// The threads that launch. A launch may hang (dead NFS below a mount target, frozen cgroup, a
// stopped child) and its vfork holds the thread, so: a fixed pool, a deadline per launch, a kill
// through the child's pidfd, and a thread that still does not come back is written off and replaced
// up to a limit.
//
// Each launcher has a descriptor table and a mount namespace of its own. So a clone copies a
// handful of descriptors instead of those of all containers, and a launch that hangs pins neither
// another container's pipes nor its mounts. Launch fds travel pump -> launcher and pidfds back over
// a socketpair; there are no locks.
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "runtime/init/launcher.h"
#include "runtime/keeper/protocol.h"

namespace crisp::keeper {

// What launches: runtime/init in crisp-keeper, a plain fork and exec in the keeper of the tests.
struct LaunchFunctions {
  int (*enter)();
  init::LaunchOutcome (*container)(const void* plan, size_t size, const int* fds, size_t fd_count,
                                   init::LaunchWatch* watch);
  init::LaunchOutcome (*exec)(const void* plan, size_t size, const int* fds, size_t fd_count,
                              init::LaunchWatch* watch);
  const char* (*step_name)(int step);
};

struct LaunchJob {
  uint32_t slot;
  uint32_t sequence;    // of the request
  uint32_t connection;  // that asked
  Kind kind;
  int64_t deadline;  // monotonic
};

// What a launcher answers; `pid` < 0 with `err` 0 is its greeting when it is ready.
struct LaunchPacket {
  int32_t err, step, pid;
  char text[160];
};

class LauncherPool {
 public:
  static constexpr uint32_t kWanted = 4;
  static constexpr uint32_t kMax = 64;
  // Launches at once: more than there are launchers only while some hang (client_gate.h). The rest
  // is for those that are written off.
  static constexpr uint32_t kAtOnce = 12;

  // Starts the first threads and waits until each is in its namespace. Returns 0 or errno.
  int Init(const LaunchFunctions& functions, int epoll, uint64_t first_token);
  // Hands the job to an idle launcher, or to a new one; `fds` (plan first) are only borrowed.
  // EAGAIN: there are as many as there may be.
  int Give(const LaunchJob& job, const int* fds, size_t fd_count);

  // What came back from launcher `index`; false: nothing to report.
  struct Outcome {
    LaunchJob job;
    LaunchPacket packet;
    int pidfd;       // owned by the caller
    bool timed_out;  // killed at its deadline
    bool late;       // already reported by Expire
  };
  bool Take(uint32_t index, Outcome* outcome);
  // Kills what is over its deadline. Returns true and the job when one is to be reported as stuck.
  bool Expire(int64_t now, LaunchJob* stuck);
  int64_t NextDeadline() const;  // INT64_MAX: none
  uint32_t busy() const;         // launches under way, those written off not counted
  uint32_t written_off() const;

 private:
  enum class State : uint32_t { kUnused, kRetired, kStarting, kIdle, kBusy, kKilled, kWrittenOff };
  struct Launcher {
    State state;
    int socket;       // the pump's end
    int peer_socket;  // the thread's end, a number in its own table
    std::atomic<int> tid;
    pthread_t thread;
    init::LaunchWatch watch;
    LaunchJob job;
    int64_t next_kill, write_off;  // once over the deadline
  };

  int StartThread(uint32_t index);
  static void* Main(void* self);
  static void Serve(Launcher& launcher);
  static void RunJob(Launcher& launcher, Kind kind, int* fds, size_t fd_count);
  static void Ready(Launcher& launcher);
  static bool Kill(Launcher& launcher);
  Launcher* Idle();
  void StartOneMore();
  void RetireSurplus(Launcher& launcher);

  Launcher launchers_[kMax] = {};
  int epoll_ = -1;
  uint64_t first_token_ = 0;
};

}  // namespace crisp::keeper
