// ExecSync: one process in a running container, its output and its exit code.
#include <poll.h>

#include "runtime/base/id.h"
#include "runtime/base/pending.h"
#include "runtime/base/stages.h"
#include "runtime/container/container_runtime.h"
#include "runtime/container/exec_cgroup.h"
#include "runtime/container/launch_plan.h"
#include "runtime/container/output_collector.h"
#include "runtime/container/task_fds.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

constexpr int64_t kNanosPerMilli = 1000000;
constexpr int kReapMs = 5000;  // from the exit to the keeper's reap: an event, only bounded here

int64_t After(int milliseconds) { return MonotonicNanos() + milliseconds * kNanosPerMilli; }

// POLLHUP of a pidfd: the keeper has reaped, so the kernel holds the status for everybody.
StatusOr<int> StatusOfPidfd(int pidfd) {
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

int ExitCode(int wait_status) {
  return wait_status == keeper::kUnknownStatus ? 255 : sys::ExitCodeOf(wait_status);
}

void KillAll(const ExecCgroup& group, int pidfd) {
  if (!group.Kill()) sys::PidfdSendSignal(pidfd, SIGKILL);
  pollfd poller{pidfd, POLLIN, 0};
  poll(&poller, 1, kReapMs);  // gone before the answer says so
}

StatusOr<keeper::LaunchResult> Launch(const ContainerSpec& spec, const Identity& identity,
                                      int pidfd, Cgroup& cgroup, const ExecCgroup& group,
                                      const Stdio& stdio, const std::string& id,
                                      const RuntimeContext& context, const ExecSpec& exec) {
  ASSIGN_OR_RETURN(const TaskFds tasks, TaskFds::Open(cgroup));
  ASSIGN_OR_RETURN(LaunchPlan plan,
                   MakeExecPlan(spec, identity, pidfd, group.fd(), tasks.fds(), stdio, exec.args));
  keeper::ExecRequest request;
  request.id = id;
  request.container_id = spec.id;
  request.plan = std::move(plan.bytes);
  request.fds = plan.fds;
  return context.keeper->LaunchExec(request);
}

}  // namespace

StatusOr<ExecOutput> ExecInContainer(const ContainerSpec& spec, const Identity& identity, int pidfd,
                                     Cgroup& cgroup, const PodSandbox&,
                                     const RuntimeContext& context, const ExecSpec& exec) {
  if (exec.args.empty()) return InvalidField("cmd", "", "nothing to run");
  if (exec.tty) return absl::UnimplementedError("exec with a terminal");
  const int64_t deadline = exec.timeout_ms > 0 ? After(exec.timeout_ms) : 0;
  const std::string id = NewId();
  ASSIGN_OR_RETURN(const ExecCgroup group,
                   ExecCgroup::Make(cgroup, context.features.cgroup_kill, context.left_groups));
  ASSIGN_OR_RETURN(Stdio stdio, MakePipes(false, identity.uid));
  ASSIGN_OR_RETURN(const keeper::LaunchResult launched,
                   Launch(spec, identity, pidfd, cgroup, group, stdio, id, context, exec));
  const Pending forget([&] { context.keeper->Drop(id); });
  stdio.out.Reset();
  stdio.err.Reset();

  OutputCollector output(std::move(stdio.out_read), std::move(stdio.err_read), launched.pidfd.get(),
                         exec.output_cap);
  const Status ended = output.UntilExit(deadline);
  if (!ended.ok()) {
    KillAll(group, launched.pidfd.get());
    if (!absl::IsDeadlineExceeded(ended)) return ended;
    return absl::DeadlineExceededError(
        absl::StrCat("exec ", exec.args.front(), ": timed out after ", exec.timeout_ms, " ms"));
  }
  output.Drain(After(exec.drain_ms));
  ASSIGN_OR_RETURN(const int status, ExitStatus(context, id, launched.pidfd.get()));
  return ExecOutput{output.TakeOut(), output.TakeErr(), ExitCode(status)};
}

}  // namespace crisp::runtime
