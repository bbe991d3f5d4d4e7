#include "cri/api/unix_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/files.h"

namespace crisp {
namespace {

StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/') return InvalidField("socket", path, "must be absolute");
  if (path.size() >= sizeof(address.sun_path))
    return InvalidField("socket", path, "is longer than 107 bytes, the limit of a unix socket");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

StatusOr<UniqueFd> LockPath(const std::string& path) {
  const std::string lock_path = path + ".lock";
  UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, "open ", lock_path);
  if (const Status locked = LockExclusive(lock.get()); !locked.ok()) {
    if (ErrnoOf(locked) == EWOULDBLOCK) {
      return absl::FailedPreconditionError(absl::StrCat("another crisp serves ", path));
    }
    return Annotate(locked, "lock ", lock_path);
  }
  return lock;
}

// Nobody of ours can bind while we hold the lock; a foreign runtime does not know the lock.
Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0)
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "stat ", path);
  if (!S_ISSOCK(info.st_mode)) return InvalidField("socket", path, "exists and is not a socket");
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return ErrnoStatus(errno, "make socket");
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (connect(probe.get(), where, sizeof(address)) == 0 || errno == EAGAIN)
    return absl::FailedPreconditionError(absl::StrCat("another server answers at ", path));
  if (errno != ECONNREFUSED) return ErrnoStatus(errno, "probe ", path);
  if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "remove stale ", path);
  return absl::OkStatus();
}

}  // namespace

StatusOr<UniqueFd> ClaimSocketPath(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  RETURN_IF_ERROR(MakeDirs(path.substr(0, path.rfind('/') + 1), 0711));
  ASSIGN_OR_RETURN(UniqueFd lock, LockPath(path));
  RETURN_IF_ERROR(RemoveStaleSocket(path, address));
  return lock;
}

StatusOr<UniqueFd> ListenUnix(const std::string& path, mode_t mode, int backlog) {
  ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "make socket");
  // The file gets the mode of the socket inode (less the umask): no moment with a wider one.
  if (fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, "set mode of socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoStatus(errno, "bind ", path);
  if (chmod(path.c_str(), mode) != 0) return ErrnoStatus(errno, "chmod ", path);
  if (listen(fd.get(), backlog) != 0) return ErrnoStatus(errno, "listen on ", path);
  return fd;
}

}  // namespace crisp
