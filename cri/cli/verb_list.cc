#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "cri/cli/output.h"
#include "cri/cli/verb.h"
#include "runtime/base/stages.h"

namespace crisp::cli {
namespace {

std::string StateText(absl::string_view name, absl::string_view prefix) {
  absl::ConsumePrefix(&name, prefix);
  return absl::AsciiStrToLower(name);
}

StatusOr<std::map<std::string, std::string>> PodNames(CriClient& client) {
  ASSIGN_OR_RETURN(const auto pods, client.ListPodSandbox({}));
  std::map<std::string, std::string> names;
  for (const v1::PodSandbox& pod : pods.items()) names[pod.id()] = pod.metadata().name();
  return names;
}

// Id of an image -> a tag of it; the kubelet names images by id.
StatusOr<std::map<std::string, std::string>> ImageNames(CriClient& client) {
  ASSIGN_OR_RETURN(const auto images, client.ListImages({}));
  std::map<std::string, std::string> names;
  for (const v1::Image& image : images.images())
    if (!image.repo_tags().empty()) names[image.id()] = image.repo_tags(0);
  return names;
}

// As the user wrote it, where the runtime remembers that.
std::string ImageOf(const v1::Container& container,
                    const std::map<std::string, std::string>& names) {
  const std::string& written = container.image().user_specified_image();
  if (!written.empty()) return written;
  const auto name = names.find(container.image().image());
  return name != names.end() ? name->second : ShortIdIfDigest(container.image().image());
}

template <typename List>
void NewestFirst(List* list) {
  std::stable_sort(list->begin(), list->end(),
                   [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); });
}

// Only the status has the address; a pod that went meanwhile has none.
std::string AddressOf(CriClient& client, const v1::PodSandbox& pod) {
  if (pod.state() != v1::SANDBOX_READY) return "";
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id());
  const auto status = client.PodSandboxStatus(request);
  return status.ok() ? status->status().network().ip() : "";
}

}  // namespace

StatusOr<int> RunPs(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  v1::ListContainersRequest request;
  if (!call.Has("all")) request.mutable_filter()->mutable_state()->set_state(v1::CONTAINER_RUNNING);
  ASSIGN_OR_RETURN(auto response, client->ListContainers(request));
  NewestFirst(response.mutable_containers());
  if (call.json()) {
    Print(JsonText(response));
    return 0;
  }
  ASSIGN_OR_RETURN(auto pods, PodNames(*client));
  ASSIGN_OR_RETURN(const auto images, ImageNames(*client));
  Table table({"CONTAINER", "NAME", "IMAGE", "STATE", "AGE", "POD"});
  for (const v1::Container& container : response.containers()) {
    if (call.Has("quiet")) Print(container.id() + "\n");
    table.Add({ShortId(container.id()), container.metadata().name(), ImageOf(container, images),
               StateText(v1::ContainerState_Name(container.state()), "CONTAINER_"),
               Age(container.created_at(), RealtimeNanos()), pods[container.pod_sandbox_id()]});
  }
  if (!call.Has("quiet")) Print(table.Text());
  return 0;
}

StatusOr<int> RunPods(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(auto response, client->ListPodSandbox({}));
  NewestFirst(response.mutable_items());
  if (call.json()) {
    Print(JsonText(response));
    return 0;
  }
  Table table({"POD", "NAMESPACE", "NAME", "STATE", "AGE", "IP"});
  for (const v1::PodSandbox& pod : response.items()) {
    if (call.Has("quiet")) {
      Print(pod.id() + "\n");
      continue;
    }
    table.Add({ShortId(pod.id()), pod.metadata().namespace_(), pod.metadata().name(),
               StateText(v1::PodSandboxState_Name(pod.state()), "SANDBOX_"),
               Age(pod.created_at(), RealtimeNanos()), AddressOf(*client, pod)});
  }
  if (!call.Has("quiet")) Print(table.Text());
  return 0;
}

}  // namespace crisp::cli
