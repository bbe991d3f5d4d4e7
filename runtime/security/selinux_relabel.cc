#include "runtime/security/selinux_relabel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "runtime/base/files.h"
#include "runtime/sys/fd.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr char kAttribute[] = "security.selinux";
constexpr size_t kMaxDepth = 256;        // each level holds a descriptor
constexpr size_t kMaxEntries = 8 << 20;  // a create that takes hours helps nobody

// A label on these would break the host, and no pod has a reason to ask for it.
constexpr const char* kNever[] = {"/",         "/bin",
                                  "/boot",     "/dev",
                                  "/etc",      "/home",
                                  "/lib",      "/lib32",
                                  "/lib64",    "/media",
                                  "/mnt",      "/opt",
                                  "/proc",     "/root",
                                  "/run",      "/sbin",
                                  "/srv",      "/sys",
                                  "/tmp",      "/usr",
                                  "/usr/bin",  "/usr/lib",
                                  "/usr/sbin", "/var",
                                  "/var/lib",  "/var/lib/kubelet",
                                  "/var/log",  "/var/run"};

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// By the file itself, so that neither a link nor a bind mount gives it another name.
Status CheckAllowed(int tree, const std::string& path) {
  struct stat asked, never;
  if (fstatat(tree, "", &asked, AT_EMPTY_PATH) != 0) return ErrnoStatus(errno, "stat ", path);
  for (const char* each : kNever) {
    if (stat(each, &never) != 0 || !SameFile(asked, never)) continue;
    return InvalidField("mounts.selinux_relabel", path,
                        absl::StrCat("is the host's ", each, ", which is never relabelled"));
  }
  return absl::OkStatus();
}

// True: the file system has no labels. An O_PATH descriptor takes no fsetxattr; its entry in
// /proc/self/fd leads to the file itself, a link included.
StatusOr<bool> SetLabel(int file, const std::string& label, const std::string& path) {
  const std::string name = absl::StrCat("/proc/self/fd/", file);
  char now[512];
  const ssize_t size = getxattr(name.c_str(), kAttribute, now, sizeof(now));
  // Kept with its NUL by some tools. Equal: no write, so that a second start costs little.
  if (size >= 0 && label == std::string(now, strnlen(now, size))) return false;
  if (setxattr(name.c_str(), kAttribute, label.c_str(), label.size() + 1, 0) == 0) return false;
  if (errno == EOPNOTSUPP) return true;
  return ErrnoStatus(errno, "set SELinux label of ", path);
}

class Walk {
 public:
  Walk(const std::string& label, const std::string& path) : label_(label), path_(path) {}

  Status Run(int tree) {
    ASSIGN_OR_RETURN(const bool unlabelled, SetLabel(tree, label_, path_));
    if (unlabelled) return absl::OkStatus();
    struct stat info;
    if (fstatat(tree, "", &info, AT_EMPTY_PATH) != 0) return ErrnoStatus(errno, "stat ", path_);
    return S_ISDIR(info.st_mode) ? Below(tree, 0) : absl::OkStatus();
  }

 private:
  Status Below(int dir, size_t depth) {
    if (depth == kMaxDepth) {
      return absl::FailedPreconditionError(
          absl::StrCat("relabel ", path_, ": more than ", kMaxDepth, " directories deep"));
    }
    const StatusOr<std::vector<std::string>> names = ListDir(dir);
    RETURN_IF_ERROR(Annotate(names.status(), "relabel ", path_));
    for (const std::string& name : *names) RETURN_IF_ERROR(Entry(dir, name, depth));
    return absl::OkStatus();
  }

  Status Entry(int dir, const std::string& name, size_t depth) {
    if (++entries_ > kMaxEntries) {
      return absl::FailedPreconditionError(
          absl::StrCat("relabel ", path_, ": more than ", kMaxEntries, " files"));
    }
    const UniqueFd file(sys::Openat2(dir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                     RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS));
    // EXDEV: another mount; ENOENT: gone since the directory was read.
    if (!file.valid() && (errno == EXDEV || errno == ENOENT)) return absl::OkStatus();
    if (!file.valid()) return ErrnoStatus(errno, "open ", name, " in ", path_);
    RETURN_IF_ERROR(SetLabel(file.get(), label_, absl::StrCat(name, " in ", path_)).status());
    struct stat info;
    if (fstatat(file.get(), "", &info, AT_EMPTY_PATH) != 0)
      return ErrnoStatus(errno, "stat ", name);
    return S_ISDIR(info.st_mode) ? Below(file.get(), depth + 1) : absl::OkStatus();
  }

  const std::string& label_;
  const std::string& path_;
  size_t entries_ = 0;
};

}  // namespace

Status RelabelTree(int tree, const std::string& label, const std::string& path) {
  RETURN_IF_ERROR(CheckAllowed(tree, path));
  return Walk(label, path).Run(tree);
}

}  // namespace crisp::runtime
