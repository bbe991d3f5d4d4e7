// PodSandboxStats, ListPodSandboxStats, StreamPodSandboxStats.
#include "absl/strings/match.h"
#include "cri/service/encode_all.h"
#include "cri/service/encoded_objects.h"
#include "cri/service/runtime_service.h"
#include "cri/service/stream_batches.h"

namespace crisp::cri {
namespace {

bool Matches(const Pod& pod, const v1::PodSandboxStatsFilter& filter) {
  return absl::StartsWith(pod.id, filter.id()) &&
         LabelsMatch(pod.config.labels(), filter.label_selector());
}

// Encoded statistics of the ready pods that match.
std::vector<std::string> Collect(const ServiceParts& parts, const v1::PodSandboxStatsFilter& filter,
                                 StatsReader& reader) {
  std::vector<PodStatsTarget> targets;
  for (const auto& pod : parts.pods->Pods()) {
    if (!Matches(*pod, filter)) continue;  // only what is fixed: no lock
    PodStatsTarget target = reader.Target(pod);
    if (target.source) targets.push_back(std::move(target));
  }
  StatsReader::OpenNetworks(targets);
  return EncodeAll(parts.runtime.side, targets,
                   [&](const PodStatsTarget& target) { return reader.Encode(target); });
}

}  // namespace

// The kubelet asks for "" at its start to learn whether this is implemented: NOT_FOUND says so.
Status RuntimeService::PodSandboxStats(const v1::PodSandboxStatsRequest& request,
                                       v1::PodSandboxStatsResponse* response, CallContext&) {
  if (request.pod_sandbox_id().empty()) return absl::NotFoundError("pod sandbox \"\" not found");
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, parts_.pods->FindPod(request.pod_sandbox_id()));
  const PodStatsTarget target = stats_.Target(pod);
  StatsReader::OpenNetworks({target});
  AppendEncoded(response, v1::PodSandboxStatsResponse::kStatsFieldNumber, stats_.Encode(target));
  return absl::OkStatus();
}

Status RuntimeService::ListPodSandboxStats(const v1::ListPodSandboxStatsRequest& request,
                                           v1::ListPodSandboxStatsResponse* response,
                                           CallContext&) {
  for (std::string& bytes : Collect(parts_, request.filter(), stats_))
    AppendEncoded(response, v1::ListPodSandboxStatsResponse::kStatsFieldNumber, std::move(bytes));
  return absl::OkStatus();
}

Status RuntimeService::StreamPodSandboxStats(
    const v1::StreamPodSandboxStatsRequest& request,
    StreamWriter<v1::StreamPodSandboxStatsResponse>& writer, CallContext&) {
  return WriteBatches(v1::StreamPodSandboxStatsResponse::kPodSandboxStatsFieldNumber,
                      Collect(parts_, request.filter(), stats_), writer);
}

}  // namespace crisp::cri
