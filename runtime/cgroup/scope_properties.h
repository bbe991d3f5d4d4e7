// CgroupLimits -> properties of a systemd unit. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

struct UnitProperty {
  std::string name;
  uint64_t number = 0;  // type t
};

// What has no effect below a scope because it is about the scope among its siblings: its share of
// the CPU and its protection from reclaim. All limits are those of a group below it, which systemd
// does not touch.
std::vector<UnitProperty> ScopeProperties(const CgroupLimits& limits);

// The same properties as `asked` with the values in the scope's files. `read`: the text of one.
StatusOr<std::vector<UnitProperty>> PropertiesInForce(
    const std::vector<UnitProperty>& asked,
    const std::function<StatusOr<std::string>(const std::string& file)>& read);

}  // namespace crisp::runtime
