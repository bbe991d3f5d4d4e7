// The mount namespace of a launcher thread: one read-only tmpfs with two empty directories. Each
// clone copies one mount instead of the host's hundreds (floor.md 3), and what a child sees before
// pivot_root is nothing.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "runtime/init/child.h"
#include "runtime/init/launcher.h"
#include "runtime/sys/mount.h"

namespace crisp::init {
namespace {

// Each launcher thread has a descriptor table of its own, so each holds its own.
thread_local int t_proc = -1;

int MakeTree() {
  const int context = sys::Fsopen("tmpfs");
  if (context < 0) return -1;
  int tree = -1;
  if (sys::FsconfigString(context, "mode", "0555") == 0 &&
      sys::FsconfigString(context, "nr_inodes", "16") == 0 && sys::FsconfigCreate(context) == 0) {
    tree = sys::Fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }
  if (tree >= 0 && mkdirat(tree, "root", 0) == 0 && mkdirat(tree, "mask", 0) == 0) {
    sys::FsconfigFlag(context, "ro");
    syscall(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0);
  }
  close(context);
  return tree;
}

// pivot_root needs the new root attached somewhere: /proc stands for any directory that exists.
int EnterTree(int tree) {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  if (sys::MoveMount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) return errno;
  if (fchdir(tree) != 0) return errno;
  if (syscall(SYS_pivot_root, ".", ".") != 0) return errno;
  if (umount2(".", MNT_DETACH) != 0) return errno;
  return ErrnoIf(chdir("/"));
}

}  // namespace

int MakeProc() {
  const int context = sys::Fsopen("proc");
  if (context < 0) return -1;
  const bool made = sys::FsconfigCreate(context) == 0;
  const int proc =
      made ? sys::Fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) : -1;
  close(context);
  return proc;
}

int LauncherProc() { return t_proc; }

int EnterMinimalMountNamespace() {
  t_proc = MakeProc();
  if (unshare(CLONE_FS | CLONE_NEWNS) != 0) return errno;
  const int tree = MakeTree();
  if (tree < 0) return errno;
  const int err = EnterTree(tree);
  close(tree);
  return err;
}

}  // namespace crisp::init
