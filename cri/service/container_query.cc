// ContainerStatus and ListContainers: from memory, they wait for nothing.
#include <signal.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/json.h"

namespace crisp::cri {
namespace {

void FillUser(const runtime::Identity& identity, v1::ContainerUser* user) {
  v1::LinuxContainerUser* linux_user = user->mutable_linux();
  linux_user->set_uid(identity.uid);
  linux_user->set_gid(identity.gid);
  for (const uint32_t group : identity.groups) linux_user->add_supplemental_groups(group);
}

// CRI names them SIGNAL_SIGTERM, SIGNAL_SIGRTMIN, SIGNAL_SIGRTMINPLUS1 ... SIGNAL_SIGRTMAX.
v1::Signal CriSignal(int number) {
  std::string name = "SIGNAL_SIG";
  if (number > SIGRTMIN && number < SIGRTMAX) {
    const int from_max = SIGRTMAX - number;
    name += from_max < 15 ? absl::StrCat("RTMAXMINUS", from_max)
                          : absl::StrCat("RTMINPLUS", number - SIGRTMIN);
  } else if (number == SIGRTMIN || number == SIGRTMAX) {
    name += number == SIGRTMIN ? "RTMIN" : "RTMAX";
  } else {
    const char* abbreviation = sigabbrev_np(number);
    name += abbreviation ? abbreviation : "";
  }
  v1::Signal signal = v1::SIGNAL_RUNTIME_DEFAULT;
  v1::Signal_Parse(name, &signal);
  return signal;
}

v1::ContainerStatus StatusOf(const Container& container) {
  v1::ContainerStatus status;
  status.set_id(container.id);
  *status.mutable_metadata() = container.config.metadata();
  status.set_state(CriState(container.state));
  status.set_created_at(container.created_at);
  status.set_started_at(container.started_at);
  status.set_finished_at(container.finished_at);
  status.set_exit_code(container.exit_code);
  *status.mutable_image() = container.config.image();
  if (!container.config.image().user_specified_image().empty()) {
    status.mutable_image()->set_image(container.config.image().user_specified_image());
  }
  status.set_image_ref(container.image.reference());
  status.set_image_id(container.image.id());
  status.set_reason(container.reason);
  status.set_message(container.message);
  *status.mutable_labels() = container.config.labels();
  *status.mutable_annotations() = container.config.annotations();
  *status.mutable_mounts() = container.config.mounts();
  status.set_log_path(container.log_path);
  if (container.config.linux().has_resources()) {
    *status.mutable_resources()->mutable_linux() = container.config.linux().resources();
  }
  FillUser(container.identity, status.mutable_user());
  status.set_stop_signal(CriSignal(container.stop_signal));
  return status;
}

bool Matches(const Container& container, const v1::ContainerFilter& filter) {
  if (!filter.id().empty() && !absl::StartsWith(container.id, filter.id())) return false;
  if (!filter.pod_sandbox_id().empty() &&
      !absl::StartsWith(container.pod_id, filter.pod_sandbox_id()))
    return false;
  if (filter.has_state() && CriState(container.state) != filter.state().state()) return false;
  return LabelsMatch(container.config.labels(), filter.label_selector());
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
  *response->mutable_status() = StatusOf(*container);
  if (!request.verbose()) return absl::OkStatus();
  (*response->mutable_info())["info"] = InfoJson(*container);
  (*response->mutable_info())["timing"] = TimingJson(*parts_.calls, container->id);
  return absl::OkStatus();
}

Status RuntimeService::ListContainers(const v1::ListContainersRequest& request,
                                      v1::ListContainersResponse* response, CallContext&) {
  for (const auto& container : parts_.pods->Containers()) {
    std::lock_guard<std::mutex> lock(container->mu);
    if (!Matches(*container, request.filter())) continue;
    v1::Container* item = response->add_containers();
    item->set_id(container->id);
    item->set_pod_sandbox_id(container->pod_id);
    *item->mutable_metadata() = container->config.metadata();
    *item->mutable_image() = container->config.image();
    item->set_image_ref(container->image.reference());
    item->set_image_id(container->image.id());
    item->set_state(CriState(container->state));
    item->set_created_at(container->created_at);
    *item->mutable_labels() = container->config.labels();
    *item->mutable_annotations() = container->config.annotations();
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
