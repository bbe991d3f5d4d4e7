// Facts about the host and single processes that metrics name.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace crisp::runtime {

struct FileSystemFacts {
  std::string device;  // "/dev/vda1"; "major:minor" where it is no block device
  uint64_t bytes = 0, inodes = 0, inodes_free = 0;
};
FileSystemFacts FileSystemOf(const std::string& folder);

// "/dev/vda" of a block device, from sysfs; "8:0" if there is none.
std::string DeviceName(uint32_t major, uint32_t minor);

struct HugePages {
  std::vector<std::string> sizes;  // as cgroup files name them: "2MB", "1GB"
  bool any_reserved = false;       // the host has at least one huge page
};
HugePages ReadHugePageSizes();
// "hugepages-2048kB" -> "2MB"; "" for other text. Pure.
std::string HugePageSizeOf(const std::string& sysfs_name);

// Soft RLIMIT_NOFILE of a process; nothing if it is gone.
std::optional<uint64_t> SoftFileLimit(pid_t pid);

}  // namespace crisp::runtime
