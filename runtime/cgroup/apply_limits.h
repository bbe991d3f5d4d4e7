// Writing planned limits, all or nothing.
#pragma once

#include <string>
#include <vector>

#include "runtime/cgroup/state.h"

namespace crisp::runtime {

Status ApplyLimits(const HostState& state, const std::string& path,
                   const std::vector<LimitWrite>& writes);

}  // namespace crisp::runtime
