// StartContainer's part: one packet to the keeper.
#include "runtime/base/pending.h"
#include "runtime/container/bind_mount.h"
#include "runtime/container/container_runtime.h"
#include "runtime/container/launch_plan.h"

namespace crisp::runtime {
namespace {

constexpr int kKillTimeoutMs = 5000;

// Volumes are unmounted right after a container's exit or failed start: no mount may live on in a
// descriptor of the daemon.
void CloseMounts(PreparedContainer* prepared) {
  prepared->rootfs.Reset();
  prepared->dev.Reset();
  prepared->pts.Reset();
  prepared->id_map.Reset();
  prepared->bind_fds.clear();
}

// What was mounted on the host between create and start reaches a volume only by propagation, which
// does not reach detached copies: take fresh ones.
Status RefreshPropagated(PreparedContainer* prepared) {
  for (size_t i = 0; i < prepared->bind_fds.size(); ++i) {
    const BindMount& mount = prepared->spec.mounts[i];
    if (mount.propagation == Propagation::kPrivate) continue;
    ASSIGN_OR_RETURN(prepared->bind_fds[i], MakeBind(mount));
  }
  return absl::OkStatus();
}

StatusOr<Stdio> MakeStdio(const PreparedContainer& prepared) {
  const ContainerSpec& spec = prepared.spec;
  if (!spec.tty) return MakePipes(spec.stdin_open, HostUid(spec, prepared.identity));
  return MakeTerminal(prepared.pts.get(), spec.stdin_open, HostUid(spec, prepared.identity));
}

keeper::LaunchRequest MakeRequest(const PreparedContainer& prepared, LaunchPlan& plan,
                                  const Stdio& stdio, const StartOptions& options, int launch_ms) {
  keeper::LaunchRequest request;
  request.id = prepared.spec.id;
  request.pod_id = prepared.spec.sandbox_id;
  request.plan = std::move(plan.bytes);
  request.fds = plan.fds;
  request.stdout_read = stdio.out_read.get();
  request.stderr_read = stdio.err_read.get();
  request.pty_master = stdio.terminal_master.get();
  request.stdin_write = stdio.in_write.get();
  request.deadline_ms = launch_ms;
  request.log = options.log;
  request.log_offset = options.log_offset;
  request.max_line = options.max_log_line;
  request.log_file_bytes = options.log_file_bytes;
  request.log_rate_bytes = options.log_rate_bytes;
  return request;
}

}  // namespace

StatusOr<StartedContainer> StartContainer(PreparedContainer& prepared, const PodSandbox& pod,
                                          const RuntimeContext& context,
                                          const StartOptions& options) {
  const Pending mounts([&] { CloseMounts(&prepared); });
  Pending processes([&] { (void)prepared.cgroup->Kill(kKillTimeoutMs); });
  RETURN_IF_ERROR(RefreshPropagated(&prepared));
  ASSIGN_OR_RETURN(Stdio stdio, MakeStdio(prepared));
  ASSIGN_OR_RETURN(const std::shared_ptr<const TaskFiles> tasks, prepared.cgroup->OpenTasks());
  const int pid = prepared.spec.pid == NamespaceMode::kPod ? pod.pause.get() : options.pid_target;
  ASSIGN_OR_RETURN(LaunchPlan plan,
                   MakeStartPlan(prepared, pod, tasks->fds(), stdio, pid, context.features));
  ASSIGN_OR_RETURN(
      keeper::LaunchResult launched,
      context.keeper->Launch(MakeRequest(prepared, plan, stdio, options, context.launch_ms)));
  processes.Commit();

  StartedContainer started;
  started.pid = launched.pid;
  started.pidfd = std::move(launched.pidfd);
  started.stdin_write = std::move(stdio.in_write);
  started.started_nanos = launched.started_nanos;
  return started;
}

}  // namespace crisp::runtime
