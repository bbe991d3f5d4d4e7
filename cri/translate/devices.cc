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

// All nodes below the host's `directory`, as nodes below `target`. Links are left out; a node that
// vanishes meanwhile is skipped.
void AddDirectory(const std::string& directory, const std::string& target, int depth,
                  std::vector<runtime::DeviceNode>* nodes) {
  constexpr int kMaxDepth = 8;
  constexpr size_t kMaxNodes = 8192;
  DIR* dir = depth < kMaxDepth ? opendir(directory.c_str()) : nullptr;
  if (!dir) return;
  while (const dirent* entry = readdir(dir)) {
    const std::string path = absl::StrCat(directory, "/", entry->d_name);
    const std::string to = absl::StrCat(target, "/", entry->d_name);
    struct stat info;
    if (entry->d_name[0] == '.' || IsOwn(to) || lstat(path.c_str(), &info) != 0) continue;
    if (IsNode(info) && nodes->size() < kMaxNodes) nodes->push_back(NodeOf(to, info));
    if (S_ISDIR(info.st_mode)) AddDirectory(path, to, depth + 1, nodes);
  }
  closedir(dir);
}

// A symlink is followed: the kubelet gives /dev/disk/by-id names.
StatusOr<struct stat> HostNodeOf(const std::string& field, const std::string& path) {
  RETURN_IF_ERROR(CheckAbsolutePath(field, path));
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return InvalidField(field, path, ErrnoText(errno));
  if (!IsNode(info) && !S_ISDIR(info.st_mode)) {
    return InvalidField(field, path, "is neither a device node nor a folder of them");
  }
  return info;
}

// A request for a folder is one for each node in it.
StatusOr<std::vector<runtime::DeviceNode>> NodesOf(const v1::Device& device,
                                                   const std::string& path) {
  ASSIGN_OR_RETURN(const struct stat info, HostNodeOf("devices.host_path", device.host_path()));
  if (IsNode(info)) return std::vector<runtime::DeviceNode>{NodeOf(path, info)};
  std::vector<runtime::DeviceNode> nodes;
  AddDirectory(device.host_path(), path, 0, &nodes);
  if (!nodes.empty()) return nodes;
  return InvalidField("devices.host_path", device.host_path(), "holds no device node");
}

void Allow(const runtime::DeviceNode& node, const std::string& access,
           runtime::ContainerSpec* spec) {
  if (spec->privileged) return;  // everything is allowed already
  spec->device_rules.push_back({node.type, node.major, node.minor, access});
}

// What CDI says beats what the host's node is.
StatusOr<runtime::DeviceNode> CdiNodeOf(const CdiNode& wanted, const std::string& path,
                                        const runtime::UserRequest& user) {
  runtime::DeviceNode node{path, wanted.type, 0, 0, 0666, 0, 0};
  if (wanted.type == 0 || !wanted.major || !wanted.minor) {
    const std::string& from = wanted.host_path.empty() ? wanted.path : wanted.host_path;
    ASSIGN_OR_RETURN(const struct stat info, HostNodeOf("CDI deviceNodes.hostPath", from));
    if (!IsNode(info)) return InvalidField("CDI deviceNodes.hostPath", from, "is a folder");
    node = NodeOf(path, info);
    if (wanted.type != 0 && wanted.type != node.type) {
      return InvalidField("CDI deviceNodes.type", std::string(1, wanted.type),
                          absl::StrCat(from, " is of the other type"));
    }
  }
  if (wanted.major && wanted.minor) {
    node.major = static_cast<uint32_t>(*wanted.major);
    node.minor = static_cast<uint32_t>(*wanted.minor);
  }
  if (wanted.mode) node.mode = *wanted.mode & 0777;
  // CDI: without an owner the container's user gets it.
  if (user.run_as_user && *user.run_as_user > 0) {
    node.uid = static_cast<uint32_t>(*user.run_as_user);
    if (user.run_as_group) node.gid = static_cast<uint32_t>(*user.run_as_group);
  }
  if (wanted.uid) node.uid = *wanted.uid;
  if (wanted.gid) node.gid = *wanted.gid;
  return node;
}

StatusOr<std::string> NodePathOf(const std::string& field, const std::string& value) {
  ASSIGN_OR_RETURN(std::string path, CleanPath(field, value));
  if (!IsBelow(path, "/dev") || path == "/dev" || IsOwn(path)) {
    return InvalidField(field, value, "must be a node below /dev");
  }
  return path;
}

StatusOr<std::string> PermissionsOf(const std::string& field, const std::string& value) {
  std::string access;
  for (const char letter : {'r', 'w', 'm'}) {  // "rrm" -> "rm": the kernel takes each letter once
    if (value.find(letter) != std::string::npos) access += letter;
  }
  if (access.empty() || value.find_first_not_of("rwm") != std::string::npos) {
    return InvalidField(field, value, "must be of the letters r, w, m");
  }
  return access;
}

}  // namespace

Status FillDevices(const TranslateInput& input, runtime::ContainerSpec* spec) {
  RETURN_IF_ERROR(CheckRange("number of devices", input.config->devices_size(), 0, kMaxDevices));
  if (spec->privileged) {  // CRI: "access to all devices"
    AddDirectory("/dev", "/dev", 0, &spec->devices);
    spec->device_rules = {{'a', -1, -1, "rwm"}};
  } else {
    spec->device_rules = DefaultRules();
  }
  for (const v1::Device& device : input.config->devices()) {
    ASSIGN_OR_RETURN(const std::string access,
                     PermissionsOf("devices.permissions", device.permissions()));
    ASSIGN_OR_RETURN(const std::string path,
                     NodePathOf("devices.container_path", device.container_path()));
    ASSIGN_OR_RETURN(const std::vector<runtime::DeviceNode> nodes, NodesOf(device, path));
    for (const runtime::DeviceNode& node : nodes) {
      Allow(node, access, spec);
      spec->devices.push_back(node);
    }
  }
  return CheckRange("number of device rules", static_cast<int64_t>(spec->device_rules.size()), 0,
                    kMaxDevices);
}

Status AddCdiNode(const CdiNode& wanted, runtime::ContainerSpec* spec) {
  ASSIGN_OR_RETURN(const std::string access,
                   PermissionsOf("CDI deviceNodes.permissions", wanted.permissions));
  ASSIGN_OR_RETURN(const std::string path, NodePathOf("CDI deviceNodes.path", wanted.path));
  ASSIGN_OR_RETURN(const runtime::DeviceNode node, CdiNodeOf(wanted, path, spec->user));
  Allow(node, access, spec);
  spec->devices.push_back(node);
  return absl::OkStatus();
}

}  // namespace crisp::cri
