// LinuxContainerResources -> limits, when a container is made and when it is updated. Pure.
#pragma once

#include "cri/api/cri.h"
#include "runtime/base/status.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::cri {

struct Resources {
  runtime::CgroupLimits limits;
  int oom_score_adj = 0;
};

// 0 and "" mean "not asked for". INVALID_ARGUMENT naming the field for what no kernel takes.
StatusOr<Resources> TranslateResources(const v1::LinuxContainerResources& asked,
                                       runtime::CgroupMode mode);

// What is in force after an update: `change` where it asks for something, else `current`.
v1::LinuxContainerResources MergeResources(v1::LinuxContainerResources current,
                                           const v1::LinuxContainerResources& change);

struct ResourceUpdate {
  v1::LinuxContainerResources merged;  // what is in force afterwards
  Resources whole;                     // all of it: for a container whose cgroup is made again
  Resources change;                    // what has to be written now; nothing that was not asked for
  bool oom_score_adj = false;          // asked to change
};

// The merged whole is checked like a new container's, so that a change cannot contradict what
// stays (a swap limit below a raised memory limit).
StatusOr<ResourceUpdate> TranslateUpdate(const v1::LinuxContainerResources& current,
                                         const v1::LinuxContainerResources& change,
                                         runtime::CgroupMode mode);

}  // namespace crisp::cri
