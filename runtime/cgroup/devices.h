// Device access: deny all, then allow by rule, in whichever hierarchy can.
#pragma once

#include <string>
#include <vector>

#include "runtime/cgroup/state.h"

namespace crisp::runtime {

// INVALID_ARGUMENT for a rule that is not of the type, numbers and "rwm" that the header names.
Status CheckDeviceRules(const std::vector<DeviceRule>& rules);

// "c 1:3 rwm", with "*" for any. Pure.
std::string DeviceLine(const DeviceRule& rule);

Status ApplyDevices(const HostState& state, const std::string& path,
                    const std::vector<DeviceRule>& allow);

}  // namespace crisp::runtime
