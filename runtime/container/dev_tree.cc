#include "runtime/container/dev_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr char kPrefix[] = "/dev/";

StatusOr<UniqueFd> MakeFs(const char* type,
                          std::initializer_list<std::pair<const char*, const char*>> options,
                          unsigned attributes, const std::string& label) {
  const UniqueFd context(sys::Fsopen(type));
  if (!context.valid()) return ErrnoStatus(errno, "open filesystem ", type);
  for (const auto& [key, value] : options) {
    if (sys::FsconfigString(context.get(), key, value) != 0) {
      return ErrnoStatus(errno, "configure ", type, " ", key, "=", value);
    }
  }
  if (!label.empty() && sys::FsconfigString(context.get(), "context", label.c_str()) != 0) {
    return ErrnoStatus(errno, "configure ", type, " context=", label);
  }
  if (sys::FsconfigCreate(context.get()) != 0) return ErrnoStatus(errno, "create ", type);
  UniqueFd mount(sys::Fsmount(context.get(), attributes));
  if (!mount.valid()) return ErrnoStatus(errno, "mount ", type);
  return mount;
}

Status MakeNode(int dir, const std::string& name, const DeviceNode& node) {
  const mode_t type = node.type == 'b' ? S_IFBLK : S_IFCHR;
  if (mknodat(dir, name.c_str(), type | (node.mode & 07777), makedev(node.major, node.minor)) !=
          0 ||
      fchownat(dir, name.c_str(), node.uid, node.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
      fchmodat(dir, name.c_str(), node.mode & 07777, 0) != 0) {  // the umask took bits away
    return ErrnoStatus(errno, "make device ", node.path);
  }
  return absl::OkStatus();
}

// Directories on the way ("/dev/net/tun"); the tree is ours, so no link can be in the way.
Status MakeDevice(int dev, const DeviceNode& node) {
  if (!absl::StartsWith(node.path, kPrefix)) {
    return InvalidField("devices.container_path", node.path, "must be below /dev");
  }
  const std::string path = node.path.substr(sizeof(kPrefix) - 1);
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  std::string parent;
  for (const std::string& part : parts) {
    if (part.empty() || part == "." || part == "..") {
      return InvalidField("devices.container_path", node.path, "must be a clean path");
    }
    if (!parent.empty() && mkdirat(dev, parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, "make directory /dev/", parent);
    }
    parent += parent.empty() ? part : "/" + part;
  }
  if (unlinkat(dev, path.c_str(), 0) != 0 && errno != ENOENT) {  // a default node is replaced
    return ErrnoStatus(errno, "replace ", node.path);
  }
  return MakeNode(dev, path, node);
}

Status MakeLinks(int dev) {
  const struct {
    const char *name, *target;
  } links[] = {{"ptmx", "pts/ptmx"},          {"fd", "/proc/self/fd"},
               {"stdin", "/proc/self/fd/0"},  {"stdout", "/proc/self/fd/1"},
               {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}};
  for (const auto& link : links) {
    if (link.name == absl::string_view("core") && access("/proc/kcore", F_OK) != 0) continue;
    if (symlinkat(link.target, dev, link.name) != 0) {
      return ErrnoStatus(errno, "make link /dev/", link.name);
    }
  }
  return absl::OkStatus();
}

Status MakeDirectories(int dev, bool console) {
  for (const char* name : {"pts", "shm", "mqueue"}) {
    if (mkdirat(dev, name, 0755) != 0) return ErrnoStatus(errno, "make directory /dev/", name);
  }
  if (console && mknodat(dev, "console", S_IFREG | 0600, 0) != 0) {
    return ErrnoStatus(errno, "make /dev/console");
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<UniqueFd> MakeDevTree(const std::vector<DeviceNode>& devices, bool console,
                               const std::string& label) {
  static const DeviceNode kDefaults[] = {
      {"/dev/null", 'c', 1, 3, 0666, 0, 0},    {"/dev/zero", 'c', 1, 5, 0666, 0, 0},
      {"/dev/full", 'c', 1, 7, 0666, 0, 0},    {"/dev/random", 'c', 1, 8, 0666, 0, 0},
      {"/dev/urandom", 'c', 1, 9, 0666, 0, 0}, {"/dev/tty", 'c', 5, 0, 0666, 0, 0}};
  ASSIGN_OR_RETURN(UniqueFd dev, MakeFs("tmpfs", {{"mode", "0755"}, {"size", "65536k"}},
                                        MOUNT_ATTR_NOSUID, label));
  for (const DeviceNode& node : kDefaults) {
    RETURN_IF_ERROR(MakeNode(dev.get(), node.path.substr(sizeof(kPrefix) - 1), node));
  }
  RETURN_IF_ERROR(MakeLinks(dev.get()));
  RETURN_IF_ERROR(MakeDirectories(dev.get(), console));
  for (const DeviceNode& node : devices) RETURN_IF_ERROR(MakeDevice(dev.get(), node));
  return dev;
}

StatusOr<UniqueFd> MakeDevPts(uint32_t gid, const std::string& label) {
  const std::string group = std::to_string(gid);
  return MakeFs("devpts", {{"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", group.c_str()}},
                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, label);
}

}  // namespace crisp::runtime
