#include "runtime/base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_split.h"
#include "runtime/base/id.h"
#include "runtime/sys/mount.h"
#include "runtime/sys/retry.h"

namespace crisp {

using sys::Retry;

StatusOr<std::string> ReadFileAt(int dirfd, const std::string& path, size_t limit) {
  UniqueFd fd(openat(dirfd, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", path);
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t n = Retry([&] { return read(fd.get(), buffer, sizeof(buffer)); });
    if (n < 0) return ErrnoStatus(errno, "read ", path);
    if (n == 0) return text;
    if (text.size() + static_cast<size_t>(n) > limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat("read ", path, ": larger than ", limit, " bytes"));
    }
    text.append(buffer, static_cast<size_t>(n));
  }
}

StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  return ReadFileAt(AT_FDCWD, path, limit);
}

Status WriteControlFile(int dirfd, const std::string& path, absl::string_view text) {
  UniqueFd fd(openat(dirfd, path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", path);
  const ssize_t n = Retry([&] { return write(fd.get(), text.data(), text.size()); });
  if (n < 0) return ErrnoStatus(errno, "write \"", text.substr(0, 64), "\" to ", path);
  return absl::OkStatus();
}

Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = Retry([&] { return write(fd, bytes.data(), bytes.size()); });
    if (n < 0) return ErrnoStatus(errno, "write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

Status WriteFileAtomic(int dirfd, const std::string& name, absl::string_view text, mode_t mode,
                       bool sync) {
  const std::string temporary = absl::StrCat(".", name, ".", RandomHex(8));
  UniqueFd fd(openat(dirfd, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoStatus(errno, "create ", temporary);
  Status status = WriteAll(fd.get(), text);
  if (status.ok() && sync && fsync(fd.get()) != 0) status = ErrnoStatus(errno, "fsync");
  if (status.ok() && renameat(dirfd, temporary.c_str(), dirfd, name.c_str()) != 0) {
    status = ErrnoStatus(errno, "rename");
  }
  if (!status.ok()) {
    unlinkat(dirfd, temporary.c_str(), 0);
    return Annotate(status, "write ", name);
  }
  if (sync && fsync(dirfd) != 0) return ErrnoStatus(errno, "fsync directory of ", name);
  return absl::OkStatus();
}

Status MakeDirs(const std::string& path, mode_t mode) {
  std::string made;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&made, "/", part);
    if (mkdir(made.c_str(), mode) != 0) {
      if (errno != EEXIST) return ErrnoStatus(errno, "mkdir ", made);
    } else if (chmod(made.c_str(), mode) != 0) {  // whatever the umask says
      return ErrnoStatus(errno, "chmod ", made);
    }
  }
  return absl::OkStatus();
}

StatusOr<UniqueFd> OpenDir(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open directory ", path);
  return fd;
}

StatusOr<std::vector<std::string>> ListDir(int dirfd, const std::string& path) {
  const int fd = openat(dirfd, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return ErrnoStatus(errno, "open directory ", path);
  DIR* dir = fdopendir(fd);
  if (!dir) {
    close(fd);
    return ErrnoStatus(ENOMEM, "read directory ", path);
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      names.emplace_back(entry->d_name);
  }
  closedir(dir);
  return names;
}

Status LockExclusive(int fd) {
  constexpr int kTries = 100, kPauseMs = 20;
  for (int left = kTries; flock(fd, LOCK_EX | LOCK_NB) != 0; --left) {
    if ((errno != EWOULDBLOCK && errno != EINTR) || left == 0) return ErrnoStatus(errno, "flock");
    poll(nullptr, 0,
         kPauseMs);  // nothing tells when a lock becomes free, and a blocking flock has no deadline
  }
  return absl::OkStatus();
}

namespace {

// Never what is mounted in the tree: that is somebody's volume (EXDEV, also for a bind mount of the
// same file system, which st_dev would not tell).
Status RemoveTree(int dirfd, const std::string& name, int depth) {
  if (unlinkat(dirfd, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus(errno, "unlink ", name);
  if (depth > 4096)
    return absl::InternalError(absl::StrCat("remove ", name, ": deeper than 4096 levels"));
  UniqueFd dir(sys::Openat2(dirfd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                            depth == 0 ? 0 : RESOLVE_NO_XDEV));
  if (!dir.valid()) return ErrnoStatus(errno, "open directory ", name);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(dir.get()));
  for (const std::string& child : names) {
    RETURN_IF_ERROR(RemoveTree(dir.get(), child, depth + 1));
  }
  if (unlinkat(dirfd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, "rmdir ", name);
  }
  return absl::OkStatus();
}

}  // namespace

Status RemoveTreeAt(int dirfd, const std::string& name) { return RemoveTree(dirfd, name, 0); }

StatusOr<UniqueFd> MakeMemfd(const std::string& name, absl::string_view content, bool seal) {
  UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create ", name);
  RETURN_IF_ERROR(WriteAll(fd.get(), content));
  if (seal &&
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return ErrnoStatus(errno, "seal memfd ", name);
  }
  return fd;
}

}  // namespace crisp
