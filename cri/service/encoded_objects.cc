#include "cri/service/encoded_objects.h"

#include <signal.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "cri/service/container_extras.h"
#include "cri/service/runtime_service.h"

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

// Fields that are the same as long as the container exists.
v1::ContainerStatus FixedStatus(const Container& container) {
  v1::ContainerStatus status;
  status.set_id(container.id);
  *status.mutable_metadata() = container.config.metadata();
  status.set_created_at(container.created_at);
  *status.mutable_image() = container.config.image();
  if (!container.config.image().user_specified_image().empty()) {
    status.mutable_image()->set_image(container.config.image().user_specified_image());
  }
  status.set_image_ref(container.image.reference());
  status.set_image_id(container.image.id());
  *status.mutable_labels() = container.config.labels();
  *status.mutable_annotations() = container.config.annotations();
  FillStatusMounts(container, &status);
  status.set_log_path(container.log_path);
  FillUser(container.identity, status.mutable_user());
  status.set_stop_signal(CriSignal(container.stop_signal));
  return status;
}

// Fields that change.
v1::ContainerStatus CurrentStatus(const Container& container) {
  v1::ContainerStatus status;
  status.set_state(CriState(container.state));
  status.set_started_at(container.started_at);
  status.set_finished_at(container.finished_at);
  status.set_exit_code(container.exit_code);
  status.set_reason(container.reason);
  status.set_message(container.message);
  if (container.updated || container.config.linux().has_resources()) {
    *status.mutable_resources()->mutable_linux() = container.resources;
  }
  return status;
}

v1::Container FixedListItem(const Container& container) {
  v1::Container item;
  item.set_id(container.id);
  item.set_pod_sandbox_id(container.pod_id);
  *item.mutable_metadata() = container.config.metadata();
  *item.mutable_image() = container.config.image();
  item.set_image_ref(container.image.reference());
  item.set_image_id(container.image.id());
  item.set_created_at(container.created_at);
  *item.mutable_labels() = container.config.labels();
  *item.mutable_annotations() = container.config.annotations();
  return item;
}

v1::PodSandbox FixedListItem(const Pod& pod) {
  v1::PodSandbox item;
  item.set_id(pod.id);
  *item.mutable_metadata() = pod.config.metadata();
  item.set_created_at(pod.created_at);
  *item.mutable_labels() = pod.config.labels();
  *item.mutable_annotations() = pod.config.annotations();
  item.set_runtime_handler(pod.runtime_handler);
  return item;
}

// The cached part, made if this is the first question.
template <typename Make>
std::string Cached(std::string* part, Make make) {
  if (part->empty()) *part = make().SerializeAsString();
  return *part;
}

template <typename Stats, typename Object>
Stats Head(const Object& object) {
  Stats stats;
  stats.mutable_attributes()->set_id(object.id);
  *stats.mutable_attributes()->mutable_metadata() = object.config.metadata();
  *stats.mutable_attributes()->mutable_labels() = object.config.labels();
  *stats.mutable_attributes()->mutable_annotations() = object.config.annotations();
  return stats;
}

}  // namespace

std::string EncodedListItem(const Pod& pod) {
  std::string bytes = Cached(&pod.encoded.list_item, [&] { return FixedListItem(pod); });
  v1::PodSandbox current;
  current.set_state(CriState(pod.state));
  current.AppendToString(&bytes);
  return bytes;
}

std::string EncodedListItem(const Container& container) {
  std::string bytes =
      Cached(&container.encoded.list_item, [&] { return FixedListItem(container); });
  v1::Container current;
  current.set_state(CriState(container.state));
  current.AppendToString(&bytes);
  return bytes;
}

std::string EncodedStatus(const Container& container) {
  std::string bytes = Cached(&container.encoded.status, [&] { return FixedStatus(container); });
  CurrentStatus(container).AppendToString(&bytes);
  return bytes;
}

std::string EncodedStatsHead(const Container& container) {
  return Cached(&container.encoded.stats_head, [&] { return Head<v1::ContainerStats>(container); });
}

std::string EncodedStatsHead(const Pod& pod) {
  return Cached(&pod.encoded.stats_head, [&] { return Head<v1::PodSandboxStats>(pod); });
}

void AppendEncoded(google::protobuf::Message* message, int number, std::string bytes) {
  *message->GetReflection()->MutableUnknownFields(message)->AddLengthDelimited(number) =
      std::move(bytes);
}

}  // namespace crisp::cri
