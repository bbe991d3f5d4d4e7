// The kernel's own filesystems, each a fresh superblock that never saw the image (R3). Those that
// depend on a namespace are made here, after it was joined; /dev, /dev/pts and /dev/shm come ready
// from the daemon.
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "runtime/init/child.h"
#include "runtime/init/child_target.h"
#include "runtime/sys/mount.h"

namespace crisp::init {
namespace {

constexpr unsigned kInert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

int MakeMount(const char* type, unsigned attributes) {
  const int context = sys::Fsopen(type);
  if (context < 0 || sys::FsconfigCreate(context) != 0) return -1;
  return sys::Fsmount(context, attributes);
}

// Below /dev, which is our own tmpfs or, where a mount of the pod covers it, whatever is there.
int AttachBelowDev(Child& child, int mount, const char* path) {
  if (mount < 0) return errno;
  const int target = OpenOrMakeTarget(child, path, true);
  if (target < 0) return errno;
  return ErrnoIf(sys::AttachMount(mount, target));
}

// Not by a mount option: the file system is that of the IPC namespace, and a second mount of it
// with another label would be refused.
int LabelRoot(Child& child, int mount) {
  const char* label = child.plan.Text(child.head().mount_label);
  if (*label == '\0') return 0;
  const int root = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return errno;
  const int err = ErrnoIf(fsetxattr(root, "security.selinux", label, strlen(label) + 1, 0));
  close(root);
  const bool mapped = child.head().user != kNoFd;  // then the kernel keeps labels to itself
  return err == EOPNOTSUPP || (mapped && err == EPERM) ? 0 : err;
}

}  // namespace

int MountProc(Child& child) {
  if (!child.plan.Has(kPlanProc)) return 0;
  if (child.head().proc != kNoFd) child.proc = child.Fd(child.head().proc);
  if (child.proc < 0) child.proc = MakeMount("proc", kInert);
  if (child.proc < 0) return errno;
  const int target = OpenRootDirectory(child, "proc");
  if (target < 0) return errno;
  return ErrnoIf(sys::AttachMount(child.proc, target));
}

int MountDev(Child& child) {
  if (child.head().dev == kNoFd) return 0;
  const int target = OpenRootDirectory(child, "dev");
  if (target < 0) return errno;
  child.dev = child.Fd(child.head().dev);
  if (sys::AttachMount(child.dev, target) != 0) return errno;
  if (child.head().pts == kNoFd) return 0;
  child.Note("/dev/pts");
  return AttachBelowDev(child, child.Fd(child.head().pts), "/dev/pts");
}

// A fresh sysfs shows the network devices of the namespace that the child is in: the pod's, or the
// host's with host network. With a user namespace and the host's network the kernel gives none, so
// the plan brings a copy of the host's.
int MountSys(Child& child) {
  if (!child.plan.Has(kPlanSys)) return 0;
  const unsigned readonly = child.plan.Has(kPlanSysWritable) ? 0 : MOUNT_ATTR_RDONLY;
  const int mount = child.head().sys != kNoFd ? child.Fd(child.head().sys)
                                              : MakeMount("sysfs", kInert | readonly);
  if (mount < 0) return errno;
  const int target = OpenRootDirectory(child, "sys");
  if (target < 0) return errno;
  return ErrnoIf(sys::AttachMount(mount, target));
}

int MountMqueue(Child& child) {
  if (!child.plan.Has(kPlanMqueue)) return 0;
  const int mount = MakeMount("mqueue", kInert);
  if (mount < 0) return errno;
  if (const int err = LabelRoot(child, mount)) return err;
  return AttachBelowDev(child, mount, "/dev/mqueue");
}

int MountShm(Child& child) {
  if (child.head().shm == kNoFd) return 0;
  return AttachBelowDev(child, child.Fd(child.head().shm), "/dev/shm");
}

// The terminal's own device, bound from the container's own devpts (S4: never by a path that the
// image has a say in: both ends lie in mounts of ours).
int MountConsole(Child& child) {
  if (!child.plan.Has(kPlanConsole) || child.dev < 0) return 0;
  const int pts = child.Fd(child.head().pts);
  const int slave = sys::OpenTree(pts, "0", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (slave < 0) return errno;
  const int target = openat(child.dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0) return errno;
  return ErrnoIf(sys::AttachMount(slave, target));
}

}  // namespace crisp::init
