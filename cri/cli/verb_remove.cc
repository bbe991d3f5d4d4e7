// stop and rm: a word names a container, else a pod.
#include "cri/cli/objects.h"
#include "cri/cli/output.h"
#include "cri/cli/verb.h"

namespace crisp::cli {
namespace {

Status StopContainer(CriClient& client, const std::string& id, int64_t seconds) {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(seconds);
  return client.StopContainer(request, kDefaultTimeout + absl::Seconds(seconds)).status();
}

Status StopOne(CriClient& client, const std::string& text, int64_t seconds) {
  const auto container = FindContainer(client, text);
  if (container.ok()) return StopContainer(client, container->id(), seconds);
  if (!absl::IsNotFound(container.status())) return container.status();
  const auto pod = FindPod(client, text);
  if (absl::IsNotFound(pod.status()))
    return absl::NotFoundError(absl::StrCat("no container or pod \"", Printable(text), "\""));
  if (!pod.ok()) return pod.status();
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod->id());
  return client.StopPodSandbox(request).status();
}

StatusOr<v1::ListContainersResponse> ContainersOf(CriClient& client, const std::string& pod) {
  v1::ListContainersRequest request;
  request.mutable_filter()->set_pod_sandbox_id(pod);
  return client.ListContainers(request);
}

Status RemovePodIfIdle(CriClient& client, const v1::PodSandbox& pod, bool force) {
  ASSIGN_OR_RETURN(const auto containers, ContainersOf(client, pod.id()));
  for (const v1::Container& container : containers.containers()) {
    if (container.state() == v1::CONTAINER_RUNNING && !force)
      return absl::FailedPreconditionError(
          absl::StrCat("container ", ShortId(container.id()), " of pod ",
                       Printable(pod.metadata().name()), " is running: stop it first or use -f"));
  }
  return RemovePod(client, pod);
}

Status RemoveContainer(CriClient& client, const v1::Container& container, bool force) {
  if (container.state() == v1::CONTAINER_RUNNING && !force)
    return absl::FailedPreconditionError(absl::StrCat("container ", ShortId(container.id()),
                                                      " is running: stop it first or use -f"));
  ASSIGN_OR_RETURN(const auto siblings, ContainersOf(client, container.pod_sandbox_id()));
  const auto pod = FindPod(client, container.pod_sandbox_id());
  if (pod.ok() && IsFromRun(*pod) && siblings.containers_size() == 1)
    return RemovePod(client, *pod);
  v1::RemoveContainerRequest request;
  request.set_container_id(container.id());
  return client.RemoveContainer(request).status();
}

Status RemoveOne(CriClient& client, const std::string& text, bool force) {
  const auto container = FindContainer(client, text);
  if (container.ok()) return RemoveContainer(client, *container, force);
  if (!absl::IsNotFound(container.status())) return container.status();
  const auto pod = FindPod(client, text);
  if (absl::IsNotFound(pod.status()))
    return absl::NotFoundError(absl::StrCat("no container or pod \"", Printable(text), "\""));
  if (!pod.ok()) return pod.status();
  return RemovePodIfIdle(client, *pod, force);
}

}  // namespace

StatusOr<int> RunStop(const Invocation& call) {
  ASSIGN_OR_RETURN(const int64_t seconds, call.GetInt("time", 10, 0, 1'000'000));
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  for (const std::string& text : call.args) {
    RETURN_IF_ERROR(StopOne(*client, text, seconds));
    Print(Printable(text) + "\n");
  }
  return 0;
}

StatusOr<int> RunRemove(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  for (const std::string& text : call.args) {
    RETURN_IF_ERROR(RemoveOne(*client, text, call.Has("force")));
    Print(Printable(text) + "\n");
  }
  return 0;
}

}  // namespace crisp::cli
