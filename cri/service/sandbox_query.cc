// PodSandboxStatus, ListPodSandbox, StreamPodSandboxes: from memory, they wait for nothing.
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "cri/service/encoded_objects.h"
#include "cri/service/runtime_service.h"
#include "cri/service/stream_batches.h"
#include "runtime/base/json.h"

namespace crisp::cri {
namespace {

void FillNamespaces(const v1::PodSandboxConfig& config, v1::LinuxPodSandboxStatus* status) {
  const v1::NamespaceOption& asked = config.linux().security_context().namespace_options();
  *status->mutable_namespaces()->mutable_options() = asked;
}

v1::PodSandboxStatus StatusOf(const Pod& pod) {
  v1::PodSandboxStatus status;
  status.set_id(pod.id);
  *status.mutable_metadata() = pod.config.metadata();
  status.set_state(CriState(pod.state));
  status.set_created_at(pod.created_at);
  if (!pod.ips.empty()) status.mutable_network()->set_ip(pod.ips.front());
  for (size_t i = 1; i < pod.ips.size(); ++i)
    status.mutable_network()->add_additional_ips()->set_ip(pod.ips[i]);
  FillNamespaces(pod.config, status.mutable_linux());
  *status.mutable_labels() = pod.config.labels();
  *status.mutable_annotations() = pod.config.annotations();
  status.set_runtime_handler(pod.runtime_handler);
  return status;
}

bool Matches(const Pod& pod, const v1::PodSandboxFilter& filter) {
  if (!filter.id().empty() && !absl::StartsWith(pod.id, filter.id())) return false;
  if (filter.has_state() && CriState(pod.state) != filter.state().state()) return false;
  return LabelsMatch(pod.config.labels(), filter.label_selector());
}

std::vector<std::string> ListItems(const PodStore& pods, const v1::PodSandboxFilter& filter) {
  std::vector<std::string> items;
  for (const auto& pod : pods.Pods()) {
    std::lock_guard<std::mutex> lock(pod->mu);
    if (pod->state != PodState::kRemoving && Matches(*pod, filter))
      items.push_back(EncodedListItem(*pod));
  }
  return items;
}

// What is asked for at all; the rest is 0.
Json ResourcesJson(const v1::LinuxContainerResources& resources) {
  Json json = Json::object();
  const auto number = [&](const char* name, int64_t value) {
    if (value != 0) json[name] = value;
  };
  number("cpuPeriod", resources.cpu_period());
  number("cpuQuota", resources.cpu_quota());
  number("cpuShares", resources.cpu_shares());
  number("memoryLimitInBytes", resources.memory_limit_in_bytes());
  number("memorySwapLimitInBytes", resources.memory_swap_limit_in_bytes());
  for (const auto& limit : resources.hugepage_limits())
    json["hugepageLimits"][limit.page_size()] = limit.limit();
  for (const auto& [file, value] : resources.unified()) json["unified"][file] = value;
  return json;
}

std::string InfoJson(const Pod& pod) {
  Json info;
  info["state"] = Name(pod.state);
  info["ips"] = pod.ips;
  info["network"] = pod.network_record;
  info["overhead"] = ResourcesJson(pod.overhead);
  info["resources"] = ResourcesJson(pod.resources);
  for (const auto& container : pod.containers) info["containers"].push_back(container->id);
  return info.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string EncodedStatus(const Pod& pod) { return StatusOf(pod).SerializeAsString(); }

v1::PodSandboxState CriState(PodState state) {
  return state == PodState::kReady ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY;
}

bool LabelsMatch(const google::protobuf::Map<std::string, std::string>& labels,
                 const google::protobuf::Map<std::string, std::string>& selector) {
  for (const auto& [key, value] : selector) {
    const auto label = labels.find(key);
    if (label == labels.end() || label->second != value) return false;
  }
  return true;
}

std::string TimingJson(const CallLog& calls, const std::string& id) {
  Json timing = Json::array();
  for (const FinishedCall& call : calls.CallsOf(id)) {
    Json steps = Json::array();
    for (const Stage& stage : call.stages)
      steps.push_back({{"step", stage.name}, {"us", stage.nanos / 1000}});
    timing.push_back({{"call", call.method},
                      {"code", call.code},
                      {"us", call.total_nanos / 1000},
                      {"steps", steps}});
  }
  return timing.dump();
}

Status RuntimeService::PodSandboxStatus(const v1::PodSandboxStatusRequest& request,
                                        v1::PodSandboxStatusResponse* response, CallContext&) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, parts_.pods->FindPod(request.pod_sandbox_id()));
  std::lock_guard<std::mutex> lock(pod->mu);
  *response->mutable_status() = StatusOf(*pod);
  response->set_timestamp(RealtimeNanos());
  if (!request.verbose()) return absl::OkStatus();
  (*response->mutable_info())["info"] = InfoJson(*pod);
  (*response->mutable_info())["timing"] = TimingJson(*parts_.calls, pod->id);
  return absl::OkStatus();
}

Status RuntimeService::ListPodSandbox(const v1::ListPodSandboxRequest& request,
                                      v1::ListPodSandboxResponse* response, CallContext&) {
  for (std::string& item : ListItems(*parts_.pods, request.filter()))
    AppendEncoded(response, v1::ListPodSandboxResponse::kItemsFieldNumber, std::move(item));
  return absl::OkStatus();
}

Status RuntimeService::StreamPodSandboxes(const v1::StreamPodSandboxesRequest& request,
                                          StreamWriter<v1::StreamPodSandboxesResponse>& writer,
                                          CallContext&) {
  return WriteBatches(v1::StreamPodSandboxesResponse::kPodSandboxesFieldNumber,
                      ListItems(*parts_.pods, request.filter()), writer);
}

}  // namespace crisp::cri
