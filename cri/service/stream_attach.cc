// An attachment to a container, and sockets of a pod's network.
#include <fcntl.h>
#include <unistd.h>

#include "cri/service/running_container.h"
#include "cri/service/stream_backend.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "runtime/container/live_exec.h"
#include "runtime/keeper/client_holdings.h"
#include "runtime/sandbox/pod_socket.h"

namespace crisp::cri {
namespace {

class AttachSession final : public streaming::StreamSession {
 public:
  AttachSession(std::shared_ptr<Container> container, keeper::KeeperClient* keeper,
                const streaming::StreamRequest& request)
      : container_(std::move(container)),
        keeper_(keeper),
        in_(request.in),
        out_(request.out),
        err_(request.err && !request.tty),
        tty_(request.tty) {}

  ~AttachSession() override {
    if (in_) StdinEnded();
  }

  Status Open(const UniqueFd& pidfd, int wait_ms) {
    RETURN_IF_ERROR(OpenInput());
    // With nothing to read, only the container's end is the session's.
    if (!out_ && !err_) {
      ASSIGN_OR_RETURN(ended_, keeper::DupFd(pidfd.get()));
      return absl::OkStatus();
    }
    UniqueFd out_write, err_write, life;
    RETURN_IF_ERROR(MakePipe(&ended_, &life));
    if (out_) RETURN_IF_ERROR(MakePipe(&out, &out_write));
    if (err_) RETURN_IF_ERROR(MakePipe(&err, &err_write));
    return keeper_->Attach(container_->id, out_write.get(), err_write.get(), life.get(), wait_ms);
  }

  int ended_fd() const override { return ended_.get(); }

  StatusOr<int> Result() override {
    if (keeper_->OutputEnded(container_->id, out_, err_)) return 0;
    return absl::AbortedError(absl::StrCat(
        "attach to container ", container_->id,
        ": cut off, because its output was not read in time or crisp-keeper was restarted; the "
        "container goes on, attach again"));
  }

  void Resize(uint16_t width, uint16_t height) override {
    if (terminal_.valid()) runtime::ResizeTerminal(terminal_.get(), width, height).IgnoreError();
  }

  // Where its end is not the container's, a client says with it that it detaches (crictl's ctrl-P
  // ctrl-Q).
  bool EndsWithStdin() const override {
    const v1::ContainerConfig& config = container_->config;
    return in_ && config.stdin() && (!config.stdin_once() || tty_);
  }

  // stdin_once: the first attachment's end is the end of the container's stdin. A terminal has no
  // such end.
  void StdinEnded() override {
    if (!in_ || !container_->config.stdin_once() || tty_) return;
    {
      const std::lock_guard<std::mutex> lock(container_->mu);
      if (!container_->stdin_write.valid()) return;
      container_->stdin_write.Reset();
    }
    const Status closed = keeper_->CloseStdin(container_->id);
    if (!closed.ok() && !absl::IsNotFound(closed))
      LogWarning("closing stdin", {{"container", container_->id}, {"error", closed.ToString()}});
  }

 private:
  static Status MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "make pipe for an attachment");
    read_end->Reset(ends[0]);
    write_end->Reset(ends[1]);
    return absl::OkStatus();
  }

  Status OpenInput() {
    if (tty_) {
      ASSIGN_OR_RETURN(terminal_, keeper_->Terminal(container_->id));
    }
    const std::lock_guard<std::mutex> lock(container_->mu);
    if (!in_ || !container_->stdin_write.valid()) return absl::OkStatus();
    ASSIGN_OR_RETURN(in, keeper::DupFd(container_->stdin_write.get()));
    return absl::OkStatus();
  }

  const std::shared_ptr<Container> container_;
  keeper::KeeperClient* const keeper_;
  const bool in_, out_, err_, tty_;
  UniqueFd ended_, terminal_;
};

}  // namespace

StatusOr<std::unique_ptr<streaming::StreamSession>> ContainerStreams::Attach(
    const streaming::StreamRequest& request) {
  ASSIGN_OR_RETURN(RunningContainer running, FindRunning(*pods_, request.id, "attach to"));
  auto session = std::make_unique<AttachSession>(running.container, runtime_.keeper, request);
  RETURN_IF_ERROR(session->Open(*running.pidfd, options_.attach_wait_ms));
  CountMetric("crisp_stream_sessions_total", "kind=\"attach\"");
  return session;
}

StatusOr<UniqueFd> ContainerStreams::Socket(const std::string& id, int family) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, pods_->FindPod(id));
  std::shared_ptr<const runtime::PodSandbox> sandbox;
  {
    const std::lock_guard<std::mutex> lock(pod->mu);
    if (pod->state == PodState::kReady) sandbox = pod->sandbox;
  }
  if (!sandbox)
    return absl::NotFoundError(absl::StrCat("forward to pod sandbox ", id, ": it is not ready"));
  return runtime::MakePodSocket(sandbox->net.get(), family);
}

}  // namespace crisp::cri
