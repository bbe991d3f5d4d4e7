// The three things that are asked of systemd, each over a connection of its own to pid 1's socket:
// no bus daemon in between, and no lock between two containers.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/cgroup/scope_properties.h"

namespace crisp::runtime {

struct ScopeRequest {
  std::string name, slice, description;
  pid_t first = -1;  // the member that a scope must have
  std::vector<UnitProperty> properties;
};

// Is the manager's socket there, and its owner pid 1 of our own pid namespace?
bool ManagerIsPid1();

// One round trip: StartTransientUnit, then the signal that its job is done.
// ALREADY_EXISTS: a unit of that name is still there.
Status StartScope(const ScopeRequest& request, int timeout_ms);
// Of a unit that runs; not written to disk.
Status SetUnitProperties(const std::string& name, const std::vector<UnitProperty>& properties,
                         int timeout_ms);
// Ends what is left of it and forgets it. OK when there is none.
Status StopScope(const std::string& name, int timeout_ms);

}  // namespace crisp::runtime
