#include "runtime/container/exec_launch.h"

#include <poll.h>

#include <algorithm>
#include <climits>

#include "runtime/container/launch_plan.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

constexpr int kReapMs = 5000;  // from the exit to the keeper's reap: an event, only bounded here

// POLLHUP of a pidfd: the keeper has reaped, so the kernel holds the status for everybody.
int StatusOfPidfd(int pidfd) {
  pollfd poller{pidfd, 0, 0};
  if (poll(&poller, 1, kReapMs) <= 0) return keeper::kUnknownStatus;
  int status = 0;
  if (sys::PidfdExitStatus(pidfd, &status) == 0) return status;
  return keeper::kUnknownStatus;
}

StatusOr<int> ExitStatus(const RuntimeContext& context, const std::string& id, int pidfd) {
  if (context.wait_exit) return context.wait_exit(id, kReapMs);
  if (context.features.pidfd_exit_info) return StatusOfPidfd(pidfd);
  return keeper::kUnknownStatus;
}

}  // namespace

StatusOr<keeper::LaunchResult> LaunchExec(const ContainerSpec& spec, const Identity& identity,
                                          int pidfd, Cgroup& cgroup, const ExecCgroup& group,
                                          const Stdio& stdio, const std::string& id,
                                          const RuntimeContext& context,
                                          const std::vector<std::string>& args, int timeout_ms) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const TaskFiles> tasks, cgroup.OpenTasks());
  ASSIGN_OR_RETURN(LaunchPlan plan,
                   MakeExecPlan(spec, identity, pidfd, group.fd(), tasks->fds(), stdio, args));
  keeper::ExecRequest request;
  request.id = id;
  request.container_id = spec.id;
  request.pod_id = spec.sandbox_id;
  request.deadline_ms = std::min(context.launch_ms, timeout_ms > 0 ? timeout_ms : INT_MAX);
  request.plan = std::move(plan.bytes);
  request.fds = plan.fds;
  StatusOr<keeper::LaunchResult> launched = context.keeper->LaunchExec(request);
  // What is frozen or waits for a dead server dies once it is let go.
  if (!launched.ok()) (void)group.Kill();
  return launched;
}

StatusOr<int> ExecExitCode(const RuntimeContext& context, const std::string& id, int pidfd) {
  ASSIGN_OR_RETURN(const int status, ExitStatus(context, id, pidfd));
  return status == keeper::kUnknownStatus ? 255 : sys::ExitCodeOf(status);
}

void KillExec(const ExecCgroup& group, int pidfd) {
  if (!group.Kill()) sys::PidfdSendSignal(pidfd, SIGKILL);
  pollfd poller{pidfd, POLLIN, 0};
  poll(&poller, 1, kReapMs);  // gone before the answer says so
}

}  // namespace crisp::runtime
