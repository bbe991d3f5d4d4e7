// Exec, Attach, PortForward: checked here; what is given out is a URL of the streaming server.
#include "cri/service/running_container.h"
#include "cri/service/runtime_service.h"
#include "cri/translate/checks.h"

namespace crisp::cri {
namespace {

template <typename Request>
Status CheckStreams(const Request& request) {
  if (!request.stdin() && !request.stdout() && !request.stderr())
    return InvalidField("stdin, stdout, stderr", "false", "at least one must be asked for");
  if (request.tty() && request.stderr())
    return InvalidField("stderr", "true", "a terminal has one output: stdout");
  return absl::OkStatus();
}

template <typename Request>
streaming::StreamRequest StreamsOf(const Request& request, streaming::StreamKind kind,
                                   const std::string& id) {
  streaming::StreamRequest streams;
  streams.kind = kind;
  streams.id = id;
  streams.tty = request.tty();
  streams.in = request.stdin();
  streams.out = request.stdout();
  streams.err = request.stderr();
  return streams;
}

}  // namespace

Status RuntimeService::Exec(const v1::ExecRequest& request, v1::ExecResponse* response,
                            CallContext& call) {
  if (request.container_id().empty()) return InvalidField("container_id", "", "must not be empty");
  if (request.cmd().empty()) return InvalidField("cmd", "", "must not be empty");
  RETURN_IF_ERROR(CheckStreams(request));
  ASSIGN_OR_RETURN(const RunningContainer running,
                   FindRunning(*parts_.pods, request.container_id(), "exec in"));
  call.set_object(running.container->id);
  streaming::StreamRequest streams =
      StreamsOf(request, streaming::StreamKind::kExec, running.container->id);
  streams.command.assign(request.cmd().begin(), request.cmd().end());
  ASSIGN_OR_RETURN(*response->mutable_url(), parts_.urls->Register(std::move(streams)));
  return absl::OkStatus();
}

Status RuntimeService::Attach(const v1::AttachRequest& request, v1::AttachResponse* response,
                              CallContext& call) {
  if (request.container_id().empty()) return InvalidField("container_id", "", "must not be empty");
  RETURN_IF_ERROR(CheckStreams(request));
  ASSIGN_OR_RETURN(const RunningContainer running,
                   FindRunning(*parts_.pods, request.container_id(), "attach to"));
  call.set_object(running.container->id);
  if (request.tty() != running.container->config.tty()) {
    return InvalidField("tty", request.tty() ? "true" : "false",
                        "must be as the container was created");
  }
  ASSIGN_OR_RETURN(*response->mutable_url(),
                   parts_.urls->Register(
                       StreamsOf(request, streaming::StreamKind::kAttach, running.container->id)));
  return absl::OkStatus();
}

Status RuntimeService::PortForward(const v1::PortForwardRequest& request,
                                   v1::PortForwardResponse* response, CallContext& call) {
  if (request.pod_sandbox_id().empty())
    return InvalidField("pod_sandbox_id", "", "must not be empty");
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, parts_.pods->FindPod(request.pod_sandbox_id()));
  call.set_object(pod->id);
  streaming::StreamRequest forward;
  forward.kind = streaming::StreamKind::kPortForward;
  forward.id = pod->id;
  for (const int32_t port : request.port()) {
    if (port < 1 || port > 65535)
      return InvalidField("port", absl::StrCat(port), "must be 1 to 65535");
    forward.ports.push_back(static_cast<uint16_t>(port));
  }
  {
    const std::lock_guard<std::mutex> lock(pod->mu);
    if (pod->state != PodState::kReady) {
      return absl::FailedPreconditionError(absl::StrCat(
          "forward to pod sandbox ", pod->id, ": it is ", Name(pod->state), ", not ready"));
    }
  }
  ASSIGN_OR_RETURN(*response->mutable_url(), parts_.urls->Register(std::move(forward)));
  return absl::OkStatus();
}

}  // namespace crisp::cri
