#include "runtime/cgroup/devices.h"

#include <fcntl.h>

#include <cerrno>

#include "runtime/base/files.h"
#include "runtime/cgroup/device_program.h"
#include "runtime/cgroup/path.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

Status ApplyV1(const Hierarchy& h, const std::string& path, const std::vector<DeviceRule>& allow) {
  RETURN_IF_ERROR(Annotate(WriteControlFile(h.root.get(), Below(path, "devices.deny"), "a"),
                           "deny all devices"));
  UniqueFd fd(openat(h.root.get(), Below(path, "devices.allow").c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", h.mount_point, path, "/devices.allow");
  for (const DeviceRule& rule : allow) {  // the file takes one rule a write
    const std::string line = DeviceLine(rule);
    if (sys::Retry([&] { return write(fd.get(), line.data(), line.size()); }) < 0) {
      return ErrnoStatus(errno, "allow device \"", line, "\" in ", h.mount_point, path);
    }
  }
  return absl::OkStatus();
}

Status ApplyV2(const Hierarchy& h, const std::string& path, const std::vector<DeviceRule>& allow) {
  UniqueFd dir(openat(h.root.get(), Below(path, "").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return ErrnoStatus(errno, "open ", h.mount_point, path);
  return Annotate(AttachDeviceProgram(dir.get(), allow), "limit devices of ", path);
}

}  // namespace

Status CheckDeviceRules(const std::vector<DeviceRule>& rules) {
  constexpr int64_t kMaxMajor = (1 << 12) - 1, kMaxMinor = (1 << 20) - 1;
  if (rules.size() > 1024) return InvalidField("devices", "", "more than 1024 rules");
  for (const DeviceRule& rule : rules) {
    const bool type = rule.type == 'a' || rule.type == 'b' || rule.type == 'c';
    const bool numbers =
        rule.major >= -1 && rule.major <= kMaxMajor && rule.minor >= -1 && rule.minor <= kMaxMinor;
    const bool access = !rule.access.empty() && rule.access.size() <= 3 &&
                        rule.access.find_first_not_of("rwm") == std::string::npos;
    if (!type || !numbers || !access) {
      return InvalidField("devices", DeviceLine(rule), "not a device rule");
    }
  }
  return absl::OkStatus();
}

std::string DeviceLine(const DeviceRule& rule) {
  const auto number = [](int64_t n) { return n < 0 ? std::string("*") : absl::StrCat(n); };
  return absl::StrCat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor),
                      " ", rule.access);
}

Status ApplyDevices(const HostState& state, const std::string& path,
                    const std::vector<DeviceRule>& allow) {
  RETURN_IF_ERROR(CheckDeviceRules(allow));
  const Hierarchy* devices = state.ForController("devices");
  if (devices) return ApplyV1(*devices, path, allow);
  if (state.v2) return ApplyV2(*state.v2, path, allow);
  return absl::FailedPreconditionError("limit devices: this host has no devices controller");
}

}  // namespace crisp::runtime
