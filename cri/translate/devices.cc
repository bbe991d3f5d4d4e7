// Device nodes and the device cgroup's allow list. Reads what the host's nodes are (stat), changes
// nothing.
#include <dirent.h>
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

// "rrm" -> "rm": the kernel takes each letter once.
StatusOr<std::string> PermissionsOf(const v1::Device& device) {
  std::string access;
  for (const char letter : {'r', 'w', 'm'}) {
    if (device.permissions().find(letter) != std::string::npos) access += letter;
  }
  if (access.empty() || device.permissions().find_first_not_of("rwm") != std::string::npos) {
    return InvalidField("devices.permissions", device.permissions(),
                        "must be of the letters r, w, m");
  }
  return access;
}

bool IsNode(const struct stat& info) { return S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode); }

runtime::DeviceNode NodeOf(const std::string& path, const struct stat& info) {
  return {path,
          S_ISCHR(info.st_mode) ? 'c' : 'b',
          major(info.st_rdev),
          minor(info.st_rdev),
          info.st_mode & 0777,
          info.st_uid,
          info.st_gid};
}

// What the launch puts there itself: its own file systems, links and the console.
bool IsOwn(const std::string& path) {
  for (const char* own : {"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/ptmx",
                          "/dev/console", "/dev/stdin", "/dev/stdout", "/dev/stderr"}) {
    if (IsBelow(path, own)) return true;
  }
  return false;
}

// A privileged container has every node of the host (CRI: "access to all devices"). Links are left
// out; a node that vanishes meanwhile is skipped.
void AddHostDevices(const std::string& directory, int depth,
                    std::vector<runtime::DeviceNode>* nodes) {
  constexpr int kMaxDepth = 8;
  constexpr size_t kMaxNodes = 8192;
  DIR* dir = depth < kMaxDepth ? opendir(directory.c_str()) : nullptr;
  if (!dir) return;
  while (const dirent* entry = readdir(dir)) {
    const std::string path = absl::StrCat(directory, "/", entry->d_name);
    struct stat info;
    if (entry->d_name[0] == '.' || IsOwn(path) || lstat(path.c_str(), &info) != 0) continue;
    if (IsNode(info) && nodes->size() < kMaxNodes) nodes->push_back(NodeOf(path, info));
    if (S_ISDIR(info.st_mode)) AddHostDevices(path, depth + 1, nodes);
  }
  closedir(dir);
}

StatusOr<std::string> NodePathOf(const v1::Device& device) {
  ASSIGN_OR_RETURN(std::string path, CleanPath("devices.container_path", device.container_path()));
  if (!IsBelow(path, "/dev") || path == "/dev" || IsOwn(path)) {
    return InvalidField("devices.container_path", device.container_path(),
                        "must be a node below /dev");
  }
  return path;
}

// A symlink is followed: the kubelet gives /dev/disk/by-id names.
StatusOr<struct stat> HostNodeOf(const v1::Device& device) {
  const std::string& path = device.host_path();
  RETURN_IF_ERROR(CheckAbsolutePath("devices.host_path", path));
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return InvalidField("devices.host_path", path, ErrnoText(errno));
  }
  if (!IsNode(info)) return InvalidField("devices.host_path", path, "is no device node");
  return info;
}

}  // namespace

Status FillDevices(const TranslateInput& input, runtime::ContainerSpec* spec) {
  RETURN_IF_ERROR(CheckRange("number of devices", input.config->devices_size(), 0, kMaxDevices));
  if (spec->privileged) {
    AddHostDevices("/dev", 0, &spec->devices);
    spec->device_rules = {{'a', -1, -1, "rwm"}};
  } else {
    spec->device_rules = DefaultRules();
  }
  for (const v1::Device& device : input.config->devices()) {
    ASSIGN_OR_RETURN(const std::string access, PermissionsOf(device));
    ASSIGN_OR_RETURN(const std::string path, NodePathOf(device));
    ASSIGN_OR_RETURN(const struct stat info, HostNodeOf(device));
    spec->devices.push_back(NodeOf(path, info));
    const runtime::DeviceNode& node = spec->devices.back();
    if (!spec->privileged) {
      spec->device_rules.push_back({node.type, node.major, node.minor, access});
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
