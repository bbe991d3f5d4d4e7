// Device nodes and the device cgroup's allow list. Reads what the host's nodes are (stat), changes
// nothing.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"

namespace crisp::cri {
namespace {

// What every container may do: make any node, use the usual ones and its own terminals.
const std::vector<runtime::DeviceRule>& DefaultRules() {
  static const std::vector<runtime::DeviceRule>& rules = *new std::vector<runtime::DeviceRule>{
      {'c', -1, -1, "m"}, {'b', -1, -1, "m"},   {'c', 1, 3, "rwm"}, {'c', 1, 5, "rwm"},
      {'c', 1, 7, "rwm"}, {'c', 1, 8, "rwm"},   {'c', 1, 9, "rwm"}, {'c', 5, 0, "rwm"},
      {'c', 5, 2, "rwm"}, {'c', 136, -1, "rwm"}};
  return rules;
}

Status CheckPermissions(const v1::Device& device) {
  if (device.permissions().empty() ||
      device.permissions().find_first_not_of("rwm") != std::string::npos) {
    return InvalidField("devices.permissions", device.permissions(),
                        "must be of the letters r, w, m");
  }
  return absl::OkStatus();
}

}  // namespace

Status FillDevices(const TranslateInput& input, runtime::ContainerSpec* spec) {
  RETURN_IF_ERROR(CheckRange("number of devices", input.config->devices_size(), 0, kMaxDevices));
  if (spec->privileged) {
    spec->device_rules = {{'a', -1, -1, "rwm"}};
  } else {
    spec->device_rules = DefaultRules();
  }
  for (const v1::Device& device : input.config->devices()) {
    RETURN_IF_ERROR(CheckPermissions(device));
    RETURN_IF_ERROR(CheckAbsolutePath("devices.host_path", device.host_path()));
    ASSIGN_OR_RETURN(const std::string path,
                     CleanPath("devices.container_path", device.container_path()));
    struct stat info;
    if (stat(device.host_path().c_str(), &info) != 0) {
      return InvalidField("devices.host_path", device.host_path(), ErrnoText(errno));
    }
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) {
      return InvalidField("devices.host_path", device.host_path(), "is no device node");
    }
    const char type = S_ISCHR(info.st_mode) ? 'c' : 'b';
    spec->devices.push_back(
        {path, type, major(info.st_rdev), minor(info.st_rdev), info.st_mode & 0777, 0, 0});
    spec->device_rules.push_back(
        {type, major(info.st_rdev), minor(info.st_rdev), device.permissions()});
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
