// ContainerStatus, ListContainers, StreamContainers: from memory, they wait for nothing.
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "cri/service/encoded_objects.h"
#include "cri/service/runtime_service.h"
#include "cri/service/stream_batches.h"
#include "runtime/base/json.h"

namespace crisp::cri {
namespace {

bool Matches(const Container& container, const v1::ContainerFilter& filter) {
  if (!filter.id().empty() && !absl::StartsWith(container.id, filter.id())) return false;
  if (!filter.pod_sandbox_id().empty() &&
      !absl::StartsWith(container.pod_id, filter.pod_sandbox_id()))
    return false;
  if (filter.has_state() && CriState(container.state) != filter.state().state()) return false;
  return LabelsMatch(container.config.labels(), filter.label_selector());
}

std::vector<std::string> ListItems(const PodStore& pods, const v1::ContainerFilter& filter) {
  std::vector<std::string> items;
  for (const auto& container : pods.Containers()) {
    std::lock_guard<std::mutex> lock(container->mu);
    if (Matches(*container, filter)) items.push_back(EncodedListItem(*container));
  }
  return items;
}

std::string InfoJson(const Container& container) {
  Json info;
  info["state"] = Name(container.state);
  info["sandboxID"] = container.pod_id;
  info["pid"] = container.state == ContainerState::kRunning ? container.pid : 0;
  info["image"] = container.image.id();
  if (container.spec) {
    info["args"] = container.spec->args;
    info["cwd"] = container.spec->cwd;
    info["seccomp"] = container.spec->seccomp ? container.spec->seccomp->digest : "unconfined";
    if (container.spec->seccomp && !container.spec->seccomp->unknown_calls.empty())
      info["seccompUnknownCalls"] = container.spec->seccomp->unknown_calls;
    info["cgroupParent"] = container.spec->cgroup_parent;
  }
  if (container.cgroup) info["cgroup"] = container.cgroup->path();
  return info.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

v1::ContainerState CriState(ContainerState state) {
  switch (state) {
    case ContainerState::kCreated:
    case ContainerState::kStarting:
      return v1::CONTAINER_CREATED;
    case ContainerState::kRunning:
      return v1::CONTAINER_RUNNING;
    case ContainerState::kExited:
    case ContainerState::kRemoving:
      return v1::CONTAINER_EXITED;
  }
  return v1::CONTAINER_UNKNOWN;
}

Status RuntimeService::ContainerStatus(const v1::ContainerStatusRequest& request,
                                       v1::ContainerStatusResponse* response, CallContext&) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container,
                   parts_.pods->FindContainer(request.container_id()));
  std::lock_guard<std::mutex> lock(container->mu);
  AppendEncoded(response, v1::ContainerStatusResponse::kStatusFieldNumber,
                EncodedStatus(*container));
  if (!request.verbose()) return absl::OkStatus();
  (*response->mutable_info())["info"] = InfoJson(*container);
  (*response->mutable_info())["timing"] = TimingJson(*parts_.calls, container->id);
  return absl::OkStatus();
}

Status RuntimeService::ListContainers(const v1::ListContainersRequest& request,
                                      v1::ListContainersResponse* response, CallContext&) {
  for (std::string& item : ListItems(*parts_.pods, request.filter()))
    AppendEncoded(response, v1::ListContainersResponse::kContainersFieldNumber, std::move(item));
  return absl::OkStatus();
}

Status RuntimeService::StreamContainers(const v1::StreamContainersRequest& request,
                                        StreamWriter<v1::StreamContainersResponse>& writer,
                                        CallContext&) {
  return WriteBatches(v1::StreamContainersResponse::kContainersFieldNumber,
                      ListItems(*parts_.pods, request.filter()), writer);
}

}  // namespace crisp::cri
