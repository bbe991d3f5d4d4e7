// Ending every process of a cgroup: by the kernel in one write, or with the v1 freezer.
#pragma once

#include <string>

#include "runtime/cgroup/state.h"

namespace crisp::runtime {

// See Cgroup::Kill.
Status KillCgroup(const HostState& state, const std::string& path, int timeout_ms);

}  // namespace crisp::runtime
