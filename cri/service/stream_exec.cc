// An exec with live streams, from the redeemed URL to the end of its connection.
#include "cri/service/running_container.h"
#include "cri/service/runtime_service.h"
#include "cri/service/stream_backend.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "runtime/container/live_exec.h"
#include "runtime/keeper/client_holdings.h"

namespace crisp::cri {
namespace {

using runtime::LiveExec;

constexpr std::chrono::seconds kReapTime(5);  // from the pidfd's event to the exit code

class ExecSession final : public streaming::StreamSession {
 public:
  ExecSession(RunningContainer running, std::unique_ptr<LiveExec> live,
              const StreamOptions& options)
      : running_(std::move(running)), live_(std::move(live)), options_(options) {}

  ~ExecSession() override {
    if (live_->Ended()) return;
    LogInfo("exec's client is gone", {{"container", running_.container->id}});
    if (options_.on_disconnect == OnDisconnect::kHangUp) live_->HangUp(options_.hangup_grace);
    if (options_.on_disconnect == OnDisconnect::kLeave) live_->Leave();
    // kKill: its owner's end is its end.
  }

  Status TakeStreams(const streaming::StreamRequest& request) {
    if (!request.tty) {
      in = std::move(live_->in);
      out = std::move(live_->out);
      err = std::move(live_->err);
      return absl::OkStatus();
    }
    if (request.in) {
      ASSIGN_OR_RETURN(in, keeper::DupFd(live_->terminal.get()));
    }
    ASSIGN_OR_RETURN(out, keeper::DupFd(live_->terminal.get()));
    return absl::OkStatus();
  }

  int ended_fd() const override { return live_->pidfd(); }
  StatusOr<int> Result() override { return live_->ExitCode(kReapTime); }
  void Resize(uint16_t width, uint16_t height) override {
    if (live_->terminal.valid())
      runtime::ResizeTerminal(live_->terminal.get(), width, height).IgnoreError();
  }

 private:
  const RunningContainer running_;  // its cgroup holds the exec's
  const std::unique_ptr<LiveExec> live_;
  const StreamOptions options_;
};

}  // namespace

StatusOr<std::unique_ptr<streaming::StreamSession>> ContainerStreams::Exec(
    const streaming::StreamRequest& request) {
  ASSIGN_OR_RETURN(RunningContainer running, FindRunning(*pods_, request.id, "exec in"));
  runtime::LiveExecSpec spec;
  spec.args = request.command;
  spec.tty = request.tty;
  spec.streams = {request.in, request.out, request.err};
  const Container& container = *running.container;
  auto live = LiveExec::Start(*running.spec, container.identity, running.pidfd->get(),
                              running.cgroup, runtime_, spec);
  if (!live.ok()) return Annotate(LaunchError(live.status()), "exec in container ", container.id);
  CountMetric("crisp_stream_sessions_total", "kind=\"exec\"");
  auto session = std::make_unique<ExecSession>(std::move(running), *std::move(live), options_);
  RETURN_IF_ERROR(session->TakeStreams(request));
  return session;
}

}  // namespace crisp::cri
