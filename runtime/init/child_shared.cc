// Joining what other processes are in already: a pid namespace, a user namespace.
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "runtime/init/child.h"
#include "runtime/sys/mount.h"

namespace crisp::init {
namespace {

constexpr unsigned kInert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr ino_t kProcRoot = 1;  // PROC_ROOT_INO

bool IsProcRoot(int fd) {
  struct statfs fs;
  struct stat info;
  return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC && fstat(fd, &info) == 0 &&
         info.st_ino == kProcRoot;
}

int AttachNew(const char* type, const char* target) {
  const int context = sys::Fsopen(type);
  if (context < 0 || sys::FsconfigCreate(context) != 0) return errno;
  const int mount = sys::Fsmount(context, kInert);
  if (mount < 0) return errno;
  const int err = ErrnoIf(sys::MoveMount(mount, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
  close(context);
  close(mount);
  return err;
}

}  // namespace

// Before 6.17 the daemon cannot make a procfs of a pid namespace that it is not in, and nobody with
// capabilities may enter one where others could trace him. So the mount of the process that is
// joined is copied: without what lies on top of it, and only if it is a whole procfs (a container
// may have put anything there).
int FindSharedProc(Child& child) {
  const PlanHeader& head = child.head();
  if (head.proc != kNoFd || head.pid == kNoFd || !child.plan.Has(kPlanProc)) return 0;
  if (LauncherProc() < 0) return EBADF;
  const int home = openat(LauncherProc(), "self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (home < 0) return errno;
  if (setns(child.Fd(head.pid), CLONE_NEWNS) != 0) return errno;
  child.proc = sys::OpenTree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  const int err = ErrnoIf(child.proc);
  if (setns(home, CLONE_NEWNS) != 0) return errno;
  if (err != 0) return err;
  return IsProcRoot(child.proc) ? 0 : ENOTSUP;
}

// In a user namespace the kernel gives a new procfs or sysfs only to who sees a whole one already:
// they lie in the launcher's tree, below what is mounted on the same directories later, and go with
// it. Made while still privileged.
int MountVisibleTrees(Child& child) {
  if (child.head().user == kNoFd) return 0;
  if (unshare(CLONE_NEWNS) != 0) return errno;
  child.Note("proc");
  if (const int err = AttachNew("proc", "/root")) return err;
  child.Note("sysfs");
  return AttachNew("sysfs", "/mask");
}

// What is made from here on belongs to the namespace's root.
int JoinUserNamespace(Child& child) {
  if (child.head().user == kNoFd) return 0;
  if (setns(child.Fd(child.head().user), CLONE_NEWUSER) != 0) return errno;
  return BecomeRoot(child);
}

int BecomeRoot(Child& child) {
  child.Note("become root of the user namespace");
  if (syscall(SYS_setgroups, 0, nullptr) != 0 || syscall(SYS_setresgid, 0, 0, 0) != 0) return errno;
  return ErrnoIf(syscall(SYS_setresuid, 0, 0, 0));
}

int MakeMountNamespace(Child&) { return ErrnoIf(unshare(CLONE_NEWNS)); }

// Holds for children only, as JoinPidNamespace.
int JoinSharedPidNamespace(Child& child) {
  if (child.head().pid == kNoFd) return 0;
  return ErrnoIf(setns(child.Fd(child.head().pid), CLONE_NEWPID));
}

}  // namespace crisp::init
