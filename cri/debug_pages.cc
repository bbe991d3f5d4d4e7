#include "cri/debug_pages.h"

#include <nlohmann/json.hpp>

#include "runtime/base/json.h"
#include "runtime/base/metrics.h"

namespace crisp::cri {
namespace {

std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json ContainerJson(const Container& container) {
  std::lock_guard<std::mutex> lock(container.mu);
  Json out;
  out["id"] = container.id;
  out["name"] = container.config.metadata().name();
  out["state"] = Name(container.state);
  out["pid"] = container.state == ContainerState::kRunning ? container.pid : 0;
  out["exitCode"] = container.exit_code;
  out["reason"] = container.reason;
  if (container.cgroup) out["cgroup"] = container.cgroup->path();
  return out;
}

std::string PodsPage(const PodStore& pods) {
  Json all = Json::array();
  for (const auto& pod : pods.Pods()) {
    std::lock_guard<std::mutex> lock(pod->mu);
    Json out;
    out["id"] = pod->id;
    out["namespace"] = pod->config.metadata().namespace_();
    out["name"] = pod->config.metadata().name();
    out["state"] = Name(pod->state);
    // A stopped pod's address is no longer its own.
    out["ips"] = pod->state == PodState::kReady ? pod->ips : std::vector<std::string>{};
    out["containers"] = Json::array();
    for (const auto& container : pod->containers)
      out["containers"].push_back(ContainerJson(*container));
    all.push_back(std::move(out));
  }
  return Dump(all);
}

std::string PullsPage(image::ImageService& images) {
  Json all = Json::array();
  for (const image::PullProgress& pull : images.Pulls()) {
    all.push_back({{"image", pull.reference},
                   {"bytesDone", pull.bytes_done},
                   {"bytesTotal", pull.bytes_total},
                   {"layersDone", pull.layers_done},
                   {"layersTotal", pull.layers_total},
                   {"startedAt", pull.started_nanos}});
  }
  return Dump(all);
}

std::string CallsPage(const CallLog& calls) {
  std::string text;
  for (const FinishedCall& call : calls.RecentCalls()) text += FinishedCallText(call) + "\n";
  return text;
}

}  // namespace

std::map<std::string, DebugPage> DebugPages(const PodStore& pods, image::ImageService& images,
                                            const CallLog& calls,
                                            std::function<void()> refresh_metrics) {
  constexpr char kJsonType[] = "application/json";
  return {
      {"/healthz", {[] { return std::string("ok\n"); }}},
      {"/metrics",
       {[refresh_metrics] {
          refresh_metrics();
          return MetricsText();
        },
        "text/plain; version=0.0.4; charset=utf-8"}},
      {"/pods", {[&pods] { return PodsPage(pods); }, kJsonType}},
      {"/pulls", {[&images] { return PullsPage(images); }, kJsonType}},
      {"/calls", {[&calls] { return CallsPage(calls); }}},
  };
}

}  // namespace crisp::cri
