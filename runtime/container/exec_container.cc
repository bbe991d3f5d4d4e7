// ExecSync: one process in a running container, its output and its exit code.
#include "runtime/base/id.h"
#include "runtime/base/pending.h"
#include "runtime/base/stages.h"
#include "runtime/container/container_runtime.h"
#include "runtime/container/exec_cgroup.h"
#include "runtime/container/exec_launch.h"
#include "runtime/container/launch_plan.h"
#include "runtime/container/output_collector.h"

namespace crisp::runtime {
namespace {

constexpr int64_t kNanosPerMilli = 1000000;

int64_t After(int milliseconds) { return MonotonicNanos() + milliseconds * kNanosPerMilli; }

Status LaunchFailure(const Status& status, const ExecSpec& exec) {
  if (!absl::IsDeadlineExceeded(status) || exec.timeout_ms <= 0) return status;
  return absl::DeadlineExceededError(absl::StrCat("exec ", exec.args.front(), ": timed out after ",
                                                  exec.timeout_ms,
                                                  " ms, not yet started: ", status.message()));
}

}  // namespace

StatusOr<ExecOutput> ExecInContainer(const ContainerSpec& spec, const Identity& identity, int pidfd,
                                     Cgroup& cgroup, const PodSandbox&,
                                     const RuntimeContext& context, const ExecSpec& exec) {
  if (exec.args.empty()) return InvalidField("cmd", "", "nothing to run");
  const int64_t deadline = exec.timeout_ms > 0 ? After(exec.timeout_ms) : 0;
  const std::string id = NewId();
  ASSIGN_OR_RETURN(const ExecCgroup group,
                   ExecCgroup::Make(cgroup, context.features.cgroup_kill, context.left_groups));
  ASSIGN_OR_RETURN(Stdio stdio, MakePipes(false, HostUid(spec, identity)));
  const auto started = LaunchExec(spec, identity, pidfd, cgroup, group, stdio, id, context,
                                  exec.args, exec.timeout_ms);
  RETURN_IF_ERROR(LaunchFailure(started.status(), exec));
  const keeper::LaunchResult& launched = *started;
  const Pending forget([&] { context.keeper->Drop(id); });
  stdio.out.Reset();
  stdio.err.Reset();

  OutputCollector output(std::move(stdio.out_read), std::move(stdio.err_read), launched.pidfd.get(),
                         exec.output_cap);
  const Status ended = output.UntilExit(deadline);
  if (!ended.ok()) {
    KillExec(group, launched.pidfd.get());
    if (!absl::IsDeadlineExceeded(ended)) return ended;
    return absl::DeadlineExceededError(
        absl::StrCat("exec ", exec.args.front(), ": timed out after ", exec.timeout_ms, " ms"));
  }
  output.Drain(After(exec.drain_ms));
  ASSIGN_OR_RETURN(const int code, ExecExitCode(context, id, launched.pidfd.get()));
  return ExecOutput{output.TakeOut(), output.TakeErr(), code};
}

}  // namespace crisp::runtime
