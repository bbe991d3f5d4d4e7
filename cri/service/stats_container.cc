// ContainerStats, ListContainerStats, StreamContainerStats.
#include "absl/strings/match.h"
#include "cri/service/encode_all.h"
#include "cri/service/encoded_objects.h"
#include "cri/service/runtime_service.h"
#include "cri/service/stream_batches.h"

namespace crisp::cri {
namespace {

bool Matches(const Container& container, const v1::ContainerStatsFilter& filter) {
  return absl::StartsWith(container.id, filter.id()) &&
         absl::StartsWith(container.pod_id, filter.pod_sandbox_id()) &&
         LabelsMatch(container.config.labels(), filter.label_selector());
}

// Encoded statistics of the running containers that match.
std::vector<std::string> Collect(const ServiceParts& parts, const v1::ContainerStatsFilter& filter,
                                 StatsReader& reader) {
  std::vector<StatsTarget> targets;
  for (const auto& container : parts.pods->Containers()) {
    if (!Matches(*container, filter)) continue;  // only what is fixed: no lock
    StatsTarget target = reader.Target(container);
    if (target.source) targets.push_back(std::move(target));
  }
  return EncodeAll(parts.runtime.side, targets,
                   [&](const StatsTarget& target) { return reader.Encode(target); });
}

}  // namespace

// Of one that does not run only the attributes: it uses nothing any more.
Status RuntimeService::ContainerStats(const v1::ContainerStatsRequest& request,
                                      v1::ContainerStatsResponse* response, CallContext&) {
  if (request.container_id().empty()) return absl::NotFoundError("container \"\" not found");
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container,
                   parts_.pods->FindContainer(request.container_id()));
  AppendEncoded(response, v1::ContainerStatsResponse::kStatsFieldNumber,
                stats_.Encode(stats_.Target(container)));
  return absl::OkStatus();
}

Status RuntimeService::ListContainerStats(const v1::ListContainerStatsRequest& request,
                                          v1::ListContainerStatsResponse* response, CallContext&) {
  for (std::string& bytes : Collect(parts_, request.filter(), stats_))
    AppendEncoded(response, v1::ListContainerStatsResponse::kStatsFieldNumber, std::move(bytes));
  return absl::OkStatus();
}

Status RuntimeService::StreamContainerStats(const v1::StreamContainerStatsRequest& request,
                                            StreamWriter<v1::StreamContainerStatsResponse>& writer,
                                            CallContext&) {
  return WriteBatches(v1::StreamContainerStatsResponse::kContainerStatsFieldNumber,
                      Collect(parts_, request.filter(), stats_), writer);
}

}  // namespace crisp::cri
