// Containers as scopes of systemd: cgroups as cgroupfs makes them, but made and known by pid 1.
#pragma once

#include <memory>
#include <string>

#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// Is systemd pid 1 here, and may its driver be used with this host's cgroups (v2 alone)?
bool SystemdIsPossible(CgroupMode mode);

// FAILED_PRECONDITION naming what is missing. `placeholder`: see placeholder.h.
StatusOr<std::unique_ptr<CgroupHost>> MakeSystemdHost(std::unique_ptr<CgroupHost> cgroupfs,
                                                      const std::string& placeholder);

}  // namespace crisp::runtime
