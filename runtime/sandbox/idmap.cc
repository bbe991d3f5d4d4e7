#include "runtime/sandbox/idmap.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/files.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/mount.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxRanges = 340;  // UID_GID_MAP_MAX_EXTENTS
constexpr size_t kStackSize = 64 << 10;

// A namespace gets its mappings through the /proc files of a process that lives in it, so one must
// live for that moment. It shares our memory (a copy of the daemon's page tables would cost more
// than all the rest) and so writes nothing, not even errno: all signals are blocked, it waits to be
// killed. Nobody else is in its user namespace, and no container sees it in its pid namespace.
__attribute__((no_sanitize("address", "undefined", "thread"))) int WaitForEnd(void* argument) {
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (syscall(SYS_getppid) == *static_cast<pid_t*>(argument)) syscall(SYS_pause);
  syscall(SYS_exit, 0);
  return 0;
}

class Inhabitant {
 public:
  Inhabitant() = default;
  Inhabitant(const Inhabitant&) = delete;
  Inhabitant& operator=(const Inhabitant&) = delete;
  ~Inhabitant() {
    if (pid_ > 0) {
      (void)sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
      siginfo_t info;
      sys::Retry([&] {
        return waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | __WALL);
      });
    }
    if (stack_ != MAP_FAILED) munmap(stack_, kStackSize);
  }

  // `more`: namespaces beside the user namespace, which owns them.
  Status Start(int more) {
    stack_ = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack_ == MAP_FAILED) return ErrnoStatus(errno, "make stack");
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    pid_ = clone(WaitForEnd, static_cast<char*>(stack_) + kStackSize,
                 CLONE_NEWUSER | CLONE_VM | CLONE_PIDFD | more, &self_, &pidfd);
    const int err = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid_ < 0) return ErrnoStatus(err, "make user namespace");
    pidfd_.Reset(pidfd);
    return absl::OkStatus();
  }

  std::string Proc(absl::string_view file) const { return absl::StrCat("/proc/", pid_, "/", file); }

  StatusOr<UniqueFd> Namespace(const char* name) const {
    UniqueFd fd(open(Proc(absl::StrCat("ns/", name)).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoStatus(errno, "open ", name, " namespace");
    return fd;
  }

 private:
  UniqueFd pidfd_;
  void* stack_ = MAP_FAILED;
  pid_t self_ = getpid(), pid_ = -1;
};

std::string TableText(const std::vector<IdRange>& ranges) {
  std::string text;
  for (const IdRange& range : ranges) {
    absl::StrAppend(&text, range.container_id, " ", range.host_id, " ", range.length, "\n");
  }
  return text;
}

bool Overlap(const std::vector<IdRange>& ranges, uint32_t IdRange::*side) {
  std::vector<IdRange> sorted = ranges;
  std::sort(sorted.begin(), sorted.end(),
            [&](const IdRange& a, const IdRange& b) { return a.*side < b.*side; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (uint64_t{sorted[i - 1].*side} + sorted[i - 1].length > sorted[i].*side) return true;
  }
  return false;
}

Status CheckRanges(const std::string& field, const std::vector<IdRange>& ranges) {
  if (ranges.empty()) return InvalidField(field, "", "must map both user and group ids");
  if (ranges.size() > kMaxRanges) {
    return InvalidField(field, absl::StrCat(ranges.size(), " ranges"), "at most 340 are possible");
  }
  for (const IdRange& range : ranges) {
    const uint64_t last = uint64_t{std::max(range.container_id, range.host_id)} + range.length;
    if (range.length == 0 || last > UINT32_MAX) {  // 2^32 - 1 is "no id"
      return InvalidField(field, TableText({range}), "not a range of ids");
    }
  }
  if (Overlap(ranges, &IdRange::container_id) || Overlap(ranges, &IdRange::host_id)) {
    return InvalidField(field, TableText(ranges), "an id is mapped twice");
  }
  return absl::OkStatus();
}

Status MapIds(const Inhabitant& inhabitant, const IdMap& map) {
  RETURN_IF_ERROR(Annotate(
      WriteControlFile(AT_FDCWD, inhabitant.Proc("uid_map"), TableText(map.uids)), "map user ids"));
  return Annotate(WriteControlFile(AT_FDCWD, inhabitant.Proc("gid_map"), TableText(map.gids)),
                  "map group ids");
}

}  // namespace

Status CheckIdMap(const std::string& field, const IdMap& map) {
  RETURN_IF_ERROR(CheckRanges(field, map.uids));
  return CheckRanges(field, map.gids);
}

StatusOr<UniqueFd> MakeUserNamespace(const IdMap& map) {
  Inhabitant inhabitant;
  RETURN_IF_ERROR(inhabitant.Start(0));
  RETURN_IF_ERROR(MapIds(inhabitant, map));
  return inhabitant.Namespace("user");
}

StatusOr<PodNamespaces> MakePodNamespaces(const IdMap& map, bool own_network) {
  Inhabitant inhabitant;
  RETURN_IF_ERROR(inhabitant.Start(CLONE_NEWIPC | (own_network ? CLONE_NEWNET | CLONE_NEWUTS : 0)));
  RETURN_IF_ERROR(MapIds(inhabitant, map));
  PodNamespaces made;
  ASSIGN_OR_RETURN(made.user, inhabitant.Namespace("user"));
  ASSIGN_OR_RETURN(made.ipc, inhabitant.Namespace("ipc"));
  if (!own_network) return made;
  ASSIGN_OR_RETURN(made.net, inhabitant.Namespace("net"));
  ASSIGN_OR_RETURN(made.uts, inhabitant.Namespace("uts"));
  return made;
}

std::optional<uint32_t> HostId(const std::vector<IdRange>& ranges, uint32_t container_id) {
  if (ranges.empty()) return container_id;
  for (const IdRange& range : ranges) {
    if (container_id < range.container_id) continue;
    const uint32_t offset = container_id - range.container_id;
    if (offset < range.length) return range.host_id + offset;
  }
  return std::nullopt;
}

Status ApplyIdMap(int tree, int user_namespace) {
  const sys::MountAttr change{MOUNT_ATTR_IDMAP, 0, 0, static_cast<uint64_t>(user_namespace)};
  if (sys::MountSetattr(tree, "", AT_EMPTY_PATH, change) == 0) return absl::OkStatus();
  if (errno != EINVAL) return ErrnoStatus(errno, "map ids of mount");
  return absl::FailedPreconditionError(
      "map ids of mount: EINVAL (its file system cannot be id-mapped by this kernel)");
}

}  // namespace crisp::runtime
