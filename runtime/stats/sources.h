// Where the statistics of one container or pod come from: made at the first call that asks, given
// back when the container exits or the pod stops.
#pragma once

#include <map>
#include <memory>

#include "runtime/stats/cgroup_usage.h"
#include "runtime/stats/layer_usage.h"
#include "runtime/stats/net_usage.h"

namespace crisp::runtime {

struct ContainerSource {
  ContainerSource(std::shared_ptr<const Cgroup> cgroup, std::shared_ptr<FdBudget> budget,
                  const std::string& upper_dir)
      : files(std::move(cgroup), std::move(budget), /*parent=*/false),
        layer(std::make_shared<LayerGauge>(upper_dir)) {}

  struct HugePageUse {
    uint64_t bytes = 0, peak = 0;
  };
  // Of one page size ("2MB"); nothing where the controller does not account this cgroup. v2 has no
  // file for the peak: there it is the most that was read so far.
  std::optional<HugePageUse> ReadHugePages(const std::string& size);

  CgroupFiles files;
  CpuRate rate;
  const std::shared_ptr<LayerGauge> layer;

 private:
  std::mutex mu_;
  std::map<std::string, uint64_t> huge_peak_;
  bool no_huge_pages_ = false;  // the controller's files were looked for
};

struct PodSource {
  NetFiles net;
  // The pod's own cgroup, if it has one: it also counts what its former containers left.
  std::mutex mu;
  std::shared_ptr<CgroupFiles> own;
  CpuRate rate;
};

}  // namespace crisp::runtime
