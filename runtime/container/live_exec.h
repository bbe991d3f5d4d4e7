// A command in a running container whose streams somebody holds while it runs: Exec.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "runtime/container/container_runtime.h"
#include "runtime/container/exec_cgroup.h"
#include "runtime/container/stdio.h"

namespace crisp::runtime {

struct LiveExecSpec {
  std::vector<std::string> args;
  bool tty = false;  // then `streams` does not count
  StreamSet streams;
};

class LiveExec {
 public:
  // Like ExecInContainer, with the container's identity, limits and filters; returns when the
  // program runs. `cgroup` is kept: the exec's own lies below it.
  static StatusOr<std::unique_ptr<LiveExec>> Start(const ContainerSpec& spec,
                                                   const Identity& identity, int pidfd,
                                                   std::shared_ptr<Cgroup> cgroup,
                                                   const RuntimeContext& context,
                                                   const LiveExecSpec& exec);
  // Whoever still runs is killed.
  ~LiveExec();
  LiveExec(const LiveExec&) = delete;
  LiveExec& operator=(const LiveExec&) = delete;

  // Our ends, for the caller to take. With a terminal `terminal` alone: both directions, EIO is its
  // end. Blocking mode.
  UniqueFd in, out, err, terminal;

  int pidfd() const { return pidfd_.get(); }  // readable: it has ended
  bool Ended() const;
  // DEADLINE_EXCEEDED if it has not ended in time.
  StatusOr<int> ExitCode(std::chrono::milliseconds limit);
  void Signal(int signal) const;
  void Kill();
  // SIGHUP, as a terminal that goes away would send it. If the program is still there after
  // `grace`, all that it started is killed; what survived the signal of a program that ended (as
  // nohup does) is left alone.
  void HangUp(std::chrono::milliseconds grace);
  // It may live on without us.
  void Leave() { left_ = true; }

 private:
  LiveExec(std::string id, std::shared_ptr<Cgroup> cgroup, ExecCgroup group,
           const RuntimeContext& context)
      : id_(std::move(id)),
        cgroup_(std::move(cgroup)),
        group_(std::move(group)),
        context_(context) {}

  const std::string id_;
  const std::shared_ptr<Cgroup> cgroup_;  // outlives group_
  const ExecCgroup group_;
  const RuntimeContext context_;
  UniqueFd pidfd_;
  bool left_ = false;
};

// Window size of a terminal; 0 leaves that side alone.
Status ResizeTerminal(int terminal, uint16_t width, uint16_t height);

}  // namespace crisp::runtime
