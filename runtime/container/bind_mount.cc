#include "runtime/container/bind_mount.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/security/selinux_relabel.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

StatusOr<UniqueFd> CloneHostTree(const BindMount& bind) {
  const std::string& path = bind.host_path;
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  UniqueFd tree(sys::OpenTree(AT_FDCWD, path.c_str(), flags));
  if (!tree.valid() && errno == ENOENT && !bind.must_exist) {
    RETURN_IF_ERROR(Annotate(MakeDirs(path, 0755), "make missing host path"));
    tree.Reset(sys::OpenTree(AT_FDCWD, path.c_str(), flags));
  }
  if (!tree.valid()) return ErrnoStatus(errno, "open host path ", path);
  return tree;
}

// The optional fields ("shared:3 master:1") of the mount that `path` lies in.
StatusOr<std::string> PropagationOf(const std::string& path) {
  struct statx info;
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &info) != 0) {
    return ErrnoStatus(errno, "find mount of ", path);
  }
  ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/self/mountinfo"));
  const std::string id = absl::StrCat(info.stx_mnt_id, " ");
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    if (!absl::StartsWith(line, id)) continue;
    const absl::string_view head = line.substr(0, line.find(" - "));
    const std::vector<absl::string_view> fields = absl::StrSplit(head, absl::MaxSplits(' ', 6));
    return fields.size() > 6 ? std::string(fields[6]) : "";
  }
  return absl::NotFoundError(absl::StrCat("find mount of ", path, ": not in this namespace"));
}

Status CheckPropagation(const BindMount& bind) {
  if (bind.propagation == Propagation::kPrivate) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string fields, PropagationOf(bind.host_path));
  if (absl::StrContains(fields, "shared:")) return absl::OkStatus();
  if (bind.propagation == Propagation::kSlave && absl::StrContains(fields, "master:")) {
    return absl::OkStatus();
  }
  return InvalidField("mounts.propagation", bind.host_path,
                      "the host path is not on a shared mount, so nothing would propagate");
}

uint64_t Attributes(const BindMount& bind) {
  uint64_t attributes = 0;
  if (bind.readonly || bind.recursive_readonly) attributes |= MOUNT_ATTR_RDONLY;
  if (bind.noexec) attributes |= MOUNT_ATTR_NOEXEC;
  if (bind.nodev) attributes |= MOUNT_ATTR_NODEV;
  if (bind.nosuid) attributes |= MOUNT_ATTR_NOSUID;
  return attributes;
}

Status SetPropagation(const UniqueFd& tree, Propagation propagation) {
  if (propagation == Propagation::kShared) return absl::OkStatus();  // the copy is a peer already
  sys::MountAttr change{};
  change.propagation = propagation == Propagation::kSlave ? MS_SLAVE : MS_PRIVATE;
  if (sys::MountSetattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, change) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, "set propagation");
}

// Plain read-only is the top mount's alone, as the CRI defines it.
Status SetAttributes(const UniqueFd& tree, const BindMount& bind) {
  const sys::MountAttr change{Attributes(bind), 0, 0, 0};
  if (change.set == 0) return absl::OkStatus();
  const unsigned depth = bind.recursive_readonly ? AT_RECURSIVE : 0;
  if (sys::MountSetattr(tree.get(), "", AT_EMPTY_PATH | depth, change) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, "set mount attributes");
}

// Anything else there would feign what processes of the container believe about themselves (S2).
Status CheckProc(const UniqueFd& tree, const BindMount& bind) {
  if (bind.target != "/proc") return absl::OkStatus();
  struct statfs info;
  if (fstatfs(tree.get(), &info) != 0) return ErrnoStatus(errno, "stat host path ", bind.host_path);
  if (info.f_type == PROC_SUPER_MAGIC) return absl::OkStatus();
  return InvalidField("mounts.container_path", "/proc", "only a procfs may be mounted there");
}

Status MapIds(const UniqueFd& tree, int user_namespace) {
  return user_namespace < 0 ? absl::OkStatus() : ApplyIdMap(tree.get(), user_namespace);
}

}  // namespace

StatusOr<UniqueFd> MakeBind(const BindMount& bind, int user_namespace) {
  ASSIGN_OR_RETURN(UniqueFd tree, CloneHostTree(bind));
  RETURN_IF_ERROR(CheckProc(tree, bind));
  RETURN_IF_ERROR(CheckPropagation(bind));
  if (!bind.relabel.empty()) {  // before the mount becomes read-only or maps ids
    RETURN_IF_ERROR(RelabelTree(tree.get(), bind.relabel, bind.host_path));
  }
  RETURN_IF_ERROR(Annotate(MapIds(tree, user_namespace), "bind ", bind.host_path));
  RETURN_IF_ERROR(Annotate(SetPropagation(tree, bind.propagation), "bind ", bind.host_path));
  RETURN_IF_ERROR(Annotate(SetAttributes(tree, bind), "bind ", bind.host_path));
  return tree;
}

StatusOr<UniqueFd> CloneMount(int dir, const char* name, bool readonly) {
  UniqueFd copy(sys::OpenTree(dir, name, AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!copy.valid()) return ErrnoStatus(errno, "clone mount ", name);
  const sys::MountAttr change{readonly ? uint64_t{MOUNT_ATTR_RDONLY} : 0, 0, MS_PRIVATE, 0};
  if (sys::MountSetattr(copy.get(), "", AT_EMPTY_PATH, change) == 0) return copy;
  return ErrnoStatus(errno, "set attributes of mount ", name);
}

StatusOr<bool> IsDirectory(int fd) {
  struct stat info;
  if (fstatat(fd, "", &info, AT_EMPTY_PATH) != 0) return ErrnoStatus(errno, "stat mount");
  return S_ISDIR(info.st_mode);
}

}  // namespace crisp::runtime
