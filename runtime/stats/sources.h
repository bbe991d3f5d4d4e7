// Where the statistics of one container or pod come from: made at the first call that asks, given
// back when the container exits or the pod stops.
#pragma once

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

  CgroupFiles files;
  CpuRate rate;
  const std::shared_ptr<LayerGauge> layer;
};

struct PodSource {
  NetFiles net;
  // The pod's own cgroup, if it has one: it also counts what its former containers left.
  std::mutex mu;
  std::shared_ptr<CgroupFiles> own;
  CpuRate rate;
};

}  // namespace crisp::runtime
