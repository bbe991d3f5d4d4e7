#include "runtime/init/child_target.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "runtime/sys/mount.h"

namespace crisp::init {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's own lookup

// Walks a path component by component and makes what is missing. The caller's root is the
// container's, so neither ".." nor an absolute link leaves it; links are read and walked as text,
// so that also a dangling one (/etc/resolv.conf -> ../run/...) gets its target.
class Maker {
 public:
  Maker(Child& child, bool directory) : child_(child), directory_(directory) {}

  int Walk(const char* path) {
    if (!Push(path)) return -1;
    at_ = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (at_ >= 0 && Next()) {
      const int next = Step();
      if (next == kStay) continue;
      close(at_);
      at_ = next;
    }
    return at_;
  }

 private:
  static constexpr int kStay = -2;

  // Puts `text` before what is still to walk.
  bool Push(const char* text) {
    const size_t length = strlen(text), rest = strlen(rest_);
    if (length + 1 + rest + 1 > sizeof(child_.scratch) / 2) {
      errno = ENAMETOOLONG;
      return false;
    }
    memmove(rest_ + length + 1, rest_, rest + 1);
    memcpy(rest_, text, length);
    rest_[length] = '/';
    return true;
  }

  // Takes the next component off; false at the end.
  bool Next() {
    while (*rest_ == '/') ++rest_;
    if (*rest_ == '\0') return false;
    name_ = rest_;
    while (*rest_ != '\0' && *rest_ != '/') ++rest_;
    if (*rest_ == '/') *rest_++ = '\0';
    return true;
  }

  bool Last() const { return rest_[strspn(rest_, "/")] == '\0'; }

  int Step() {
    if (strcmp(name_, ".") == 0) return kStay;
    int fd = openat(at_, name_, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) fd = Make();
    struct stat info;
    if (fd < 0 || fstatat(fd, "", &info, AT_EMPTY_PATH) != 0) return fd;
    return S_ISLNK(info.st_mode) ? Follow(fd) : fd;
  }

  int Make() {
    const bool directory = directory_ || !Last();
    const int made = directory ? mkdirat(at_, name_, 0755) : mknodat(at_, name_, S_IFREG | 0644, 0);
    if (made != 0 && errno != EEXIST) return -1;
    return openat(at_, name_, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }

  int Follow(int link) {
    char target[4096];
    const ssize_t length = readlinkat(link, "", target, sizeof(target) - 1);
    close(link);
    if (length <= 0) return -1;
    if (++links_ > kMaxLinks) {
      errno = ELOOP;
      return -1;
    }
    target[length] = '\0';
    // `rest_` moved forward in its buffer: bring it back to make room in front.
    memmove(child_.scratch, rest_, strlen(rest_) + 1);
    rest_ = child_.scratch;
    if (!Push(target)) return -1;
    return target[0] == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : kStay;
  }

  Child& child_;
  const bool directory_;
  char* rest_ = (child_.scratch[0] = '\0', child_.scratch);
  char* name_ = nullptr;
  int at_ = -1;
  int links_ = 0;
};

}  // namespace

int OpenTarget(Child& child, const char* path) { return sys::OpenInRoot(child.root, path, O_PATH); }

int OpenKernelTarget(Child& child, const char* path) {
  const int fd = sys::Openat2(child.root, path + strspn(path, "/"), O_PATH | O_CLOEXEC,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd < 0 && errno == ELOOP) child.Note(path, "a link lies on the way");
  if (fd < 0 && errno == ENOENT) child.Note(path, "is not there, and cannot be made");
  return fd;
}

int OpenOrMakeTarget(Child& child, const char* path, bool directory) {
  const int fd = OpenTarget(child, path);
  if (fd >= 0 || errno != ENOENT) return fd;
  return Maker(child, directory).Walk(path);
}

int OpenRootDirectory(Child& child, const char* name) {
  const int flags = O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC;
  const int fd = openat(child.root, name, flags);
  if (fd >= 0) return fd;
  if (errno == ENOENT && mkdirat(child.root, name, 0755) == 0) {
    return openat(child.root, name, flags);
  }
  if (errno == ENOTDIR || errno == ELOOP) child.Note(name, "not a directory in the image");
  return -1;
}

bool IsKernelFilesystem(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info) != 0) return true;  // not provably harmless
  return info.f_type == PROC_SUPER_MAGIC || info.f_type == SYSFS_MAGIC;
}

}  // namespace crisp::init
