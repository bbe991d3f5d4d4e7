// Capability names and sets. A set is a mask: bit n = capability n of <linux/capability.h>.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/capability_names.h"
#include "runtime/base/status.h"

namespace crisp::runtime {

using CapSet = uint64_t;

// The 14 of containerd and Docker: CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID
// SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE.
CapSet DefaultCapabilities();
// What this process could give at all (its bounding set, read once): "ALL" means these.
CapSet HostCapabilities();

struct CapSets {
  CapSet bounding = 0, effective = 0, permitted = 0, inheritable = 0, ambient = 0;
};

// CRI's add/drop lists ("NET_ADMIN" or "CAP_NET_ADMIN", any case, "ALL"). Unknown name:
// INVALID_ARGUMENT. Applied to the default set as containerd does: ALL in add first, then ALL in
// drop, then single adds, then drops. A non-root user gets bounding + (CRI's) ambient only;
// effective and permitted are what execve gives.
StatusOr<CapSets> ComputeCapabilities(const std::vector<std::string>& add,
                                      const std::vector<std::string>& drop,
                                      const std::vector<std::string>& ambient, bool privileged);

}  // namespace crisp::runtime
