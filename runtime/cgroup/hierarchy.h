// Which cgroup hierarchies this mount namespace shows, each held by the fd of its root. Everything
// else in this folder works relative to these fds: mountinfo is read once.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

struct CgroupMount {  // one line of mountinfo
  bool v2 = false;
  bool writable = false;
  std::string root;  // what of the hierarchy is mounted: not "/" below a cgroup namespace or bind
  std::string mount_point;
  std::vector<std::string> controllers;  // v1
  std::string name;                      // v1 named hierarchy ("systemd")
};

// Pure: the cgroup lines of a mountinfo text. Lines that cannot be parsed are skipped.
std::vector<CgroupMount> ParseCgroupMounts(absl::string_view mountinfo);

struct Hierarchy {
  bool v2 = false;
  std::string mount_point;               // for messages
  std::vector<std::string> controllers;  // v2: those of the root's cgroup.controllers
  UniqueFd root;

  bool Has(absl::string_view controller) const;
};

// Opens one writable mount of each hierarchy: all v1 ones with controllers, v1 name=systemd beside
// those, and v2. FAILED_PRECONDITION when there is none.
StatusOr<std::vector<Hierarchy>> OpenHierarchies(absl::string_view mountinfo);

}  // namespace crisp::runtime
