// CgroupLimits -> the files to write, in order. Pure, so that it is tested for v1 and v2 anywhere.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

struct LimitWrite {
  std::string controller;
  std::string file;
  std::string value;
  bool optional = false;  // a kernel without this file is no error
  // The kernel checks this value against the next write's: on EINVAL write the next one first.
  bool swappable = false;
  bool keep_first_word = false;  // cpu.max: the old quota, the new period
};

enum class ControllerKind { kAbsent, kV1, kV2 };

// INVALID_ARGUMENT for what cannot be expressed, FAILED_PRECONDITION naming an absent controller.
// Hugepage limits without a hugetlb controller are left out: the kubelet always sends them, as 0.
StatusOr<std::vector<LimitWrite>> PlanLimits(
    const CgroupLimits& limits, const std::function<ControllerKind(const std::string&)>& kind);

// [2..262144] -> [1..10000] by the curve through 2 -> 1, 1024 -> 100, 262144 -> 10000 that the
// field took over in 2025: the straight line of OCI gave a default container (1024) a weight of 39,
// less than a host service's 100.
uint64_t SharesToWeight(uint64_t shares);

}  // namespace crisp::runtime
