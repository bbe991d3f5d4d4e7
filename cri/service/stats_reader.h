// Statistics of containers and pods as encoded CRI messages: which cgroup, namespace and layer are
// read for which object. docs/design/stats.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cri/pods/pod.h"

namespace crisp::cri {

// A container to be read, taken out from under its lock.
struct StatsTarget {
  std::shared_ptr<const Container> container;
  std::shared_ptr<runtime::ContainerSource> source;  // null: it does not run
  std::string head;                                  // its encoded attributes
  int64_t started_at = 0;
};

struct PodStatsTarget {
  std::shared_ptr<const Pod> pod;
  std::shared_ptr<runtime::PodSource> source;  // null: it is stopped
  std::shared_ptr<const runtime::PodSandbox> sandbox;
  std::string head;
  std::vector<StatsTarget> containers;
};

class StatsReader {
 public:
  StatsReader(std::string containers_dir, std::string mountpoint)
      : containers_dir_(std::move(containers_dir)),
        mountpoint_(std::move(mountpoint)),
        budget_(std::make_shared<runtime::FdBudget>()) {}

  StatsTarget Target(const std::shared_ptr<Container>& container);
  PodStatsTarget Target(const std::shared_ptr<Pod>& pod);
  // Opens what is not open yet of the pods' network namespaces; before Encode.
  static void OpenNetworks(const std::vector<PodStatsTarget>& pods);

  std::string Encode(const StatsTarget& target);     // v1::ContainerStats
  std::string Encode(const PodStatsTarget& target);  // v1::PodSandboxStats

  runtime::LayerMeter& layers() { return layers_; }
  int descriptors() const { return budget_->used(); }

 private:
  std::string EncodeUsage(const StatsTarget& target, const runtime::CgroupUsage& usage);
  runtime::CgroupUsage UsageOf(const PodStatsTarget& target,
                               const std::vector<runtime::CgroupUsage>& containers) const;
  void FillLayer(const StatsTarget& target, v1::ContainerStats* stats);

  const std::string containers_dir_, mountpoint_;
  const std::shared_ptr<runtime::FdBudget> budget_;
  runtime::LayerMeter layers_;
};

// The pod's cgroup is its own if its last component carries the pod's uid, as the kubelet names it
// ("pod<uid>", "...-pod<uid with _>.slice"); anything else may hold other pods as well.
bool HasOwnCgroup(const v1::PodSandboxConfig& config);

}  // namespace crisp::cri
