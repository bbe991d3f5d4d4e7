// Writing planned limits, all or nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/base/pending.h"
#include "runtime/cgroup/state.h"

namespace crisp::runtime {

// On success the result puts the old values back unless it is committed.
StatusOr<Pending> ApplyLimits(std::shared_ptr<const HostState> state, const std::string& path,
                              const std::vector<LimitWrite>& writes);

}  // namespace crisp::runtime
