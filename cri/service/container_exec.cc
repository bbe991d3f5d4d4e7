// ExecSync: a command in a running container, its output and exit code; probes and hooks live on
// it.
#include "absl/time/clock.h"
#include "cri/service/running_container.h"
#include "cri/service/runtime_service.h"

namespace crisp::cri {
namespace {

// CRI: 16 MiB a stream, more is discarded without an error. The kubelet receives 16 MiB a message
// at most, so both streams together stay below that, or the call would fail for its output.
constexpr size_t kReplyCap = (16 << 20) - (64 << 10);

StatusOr<int> TimeoutMs(int64_t seconds, absl::Time deadline) {
  if (seconds < 0) return InvalidField("timeout", absl::StrCat(seconds), "must not be negative");
  absl::Duration limit = seconds == 0 ? absl::InfiniteDuration() : absl::Seconds(seconds);
  limit = std::min(limit, deadline - absl::Now());
  if (limit > absl::Hours(24 * 20)) return 0;  // none
  return static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(limit)));
}

// Standard error keeps at least a quarter: it tells what went wrong.
void TrimToReply(runtime::ExecOutput* output) {
  if (output->out.size() + output->err.size() <= kReplyCap) return;
  output->err.resize(
      std::min(output->err.size(),
               std::max(kReplyCap / 4, kReplyCap - std::min(kReplyCap, output->out.size()))));
  output->out.resize(std::min(output->out.size(), kReplyCap - output->err.size()));
}

}  // namespace

Status RuntimeService::ExecSync(const v1::ExecSyncRequest& request, v1::ExecSyncResponse* response,
                                CallContext& call) {
  ASSIGN_OR_RETURN(const RunningContainer running,
                   FindRunning(*parts_.pods, request.container_id(), "exec in"));
  const Container& container = *running.container;
  call.set_object(container.id);
  if (request.cmd().empty()) return InvalidField("cmd", "", "must not be empty");
  ASSIGN_OR_RETURN(const int timeout_ms, TimeoutMs(request.timeout(), call.deadline()));

  runtime::ExecSpec exec;
  exec.args.assign(request.cmd().begin(), request.cmd().end());
  exec.timeout_ms = timeout_ms;
  exec.output_cap = kReplyCap;
  exec.drain_ms = options_.exec_drain_ms;
  ASSIGN_OR_RETURN(const Handler* handler, parts_.handlers->Find(running.handler));
  StatusOr<runtime::ExecOutput> output =
      handler->oci
          ? handler->oci->Exec(container.id, container.identity, *running.cgroup, parts_.runtime,
                               exec)
          : runtime::ExecInContainer(*running.spec, container.identity, running.pidfd->get(),
                                     *running.cgroup, *running.sandbox, parts_.runtime, exec);
  call.stages().Mark("exec");
  if (!output.ok())
    return Annotate(LaunchError(output.status()), "exec in container ", container.id);
  TrimToReply(&*output);
  response->set_stdout(std::move(output->out));
  response->set_stderr(std::move(output->err));
  response->set_exit_code(output->exit_code);
  return absl::OkStatus();
}

}  // namespace crisp::cri
