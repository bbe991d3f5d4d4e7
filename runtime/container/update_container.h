// UpdateContainerResources' part: new limits for a container that stands or runs, all or nothing.
#pragma once

#include <optional>

#include "runtime/base/pending.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

struct ContainerChange {
  CgroupLimits limits;               // unset = leave alone
  std::optional<int> oom_score_adj;  // of every process in the container
};

// Puts everything back unless it is committed.
struct ChangedContainer {
  Pending limits, score;
  void Commit() {
    limits.Commit();
    score.Commit();
  }
};

StatusOr<ChangedContainer> ChangeContainer(Cgroup& cgroup, const ContainerChange& change);

}  // namespace crisp::runtime
