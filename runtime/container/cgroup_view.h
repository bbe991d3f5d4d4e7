// What /sys/fs/cgroup shows in a container: the same hierarchies at the same names as on the host.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp::runtime {

struct CgroupView {
  struct Hierarchy {
    std::string name;  // below /sys/fs/cgroup; "" = pure v2, on /sys/fs/cgroup itself
    bool v2 = false;
    std::vector<std::string> options;  // of the mount: controllers, "name=systemd"
  };
  std::vector<Hierarchy> hierarchies;
  std::vector<std::pair<std::string, std::string>> links;  // "cpu" -> "cpu,cpuacct"
};

// Of a /proc/<pid>/mountinfo text; links are not in it.
CgroupView ParseCgroupView(const std::string& mountinfo);

// Of this process, read once.
const CgroupView& HostCgroupView();

}  // namespace crisp::runtime
