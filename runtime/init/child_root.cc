// The new root. Nothing in the image's tree is touched before pivot_root: afterwards no link of the
// image can lead to the host, because the host's tree is not there any more (S1, S6, S8).
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "runtime/init/child.h"
#include "runtime/sys/mount.h"

namespace crisp::init {

int MakeTreePrivate(Child& child) {
  child.Note("/");
  return ErrnoIf(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
}

// One small read-only superblock for all masked paths of this container: an empty file and an empty
// directory. An own one, because who may remount could write through a shared one to other
// containers. It stays attached below the old root while masks are cloned from it (cloning from a
// detached mount needs 6.15).
int MakeMaskSource(Child& child) {
  if (child.head().masked.count == 0) return 0;
  const int context = sys::Fsopen("tmpfs");
  if (context < 0) return errno;
  const char* label = child.plan.Text(child.head().mount_label);
  if (sys::FsconfigString(context, "mode", "0555") != 0 ||
      sys::FsconfigString(context, "nr_inodes", "16") != 0 ||  // SELinux labels count, too
      (*label != '\0' && sys::FsconfigString(context, "context", label) != 0) ||
      sys::FsconfigString(context, "size", "4096") != 0 || sys::FsconfigCreate(context) != 0) {
    return errno;
  }
  child.mask = sys::Fsmount(
      context, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (child.mask < 0) return errno;
  const sys::MountAttr writable{0, MOUNT_ATTR_RDONLY, 0, 0};
  const sys::MountAttr readonly{MOUNT_ATTR_RDONLY, 0, 0, 0};
  if (sys::MountSetattr(child.mask, "", AT_EMPTY_PATH, writable) != 0) return errno;
  if (mkdirat(child.mask, "directory", 0555) != 0) return errno;
  if (mknodat(child.mask, "file", S_IFREG | 0444, 0) != 0) return errno;
  if (sys::MountSetattr(child.mask, "", AT_EMPTY_PATH, readonly) != 0) return errno;
  if (sys::FsconfigFlag(context, "ro") != 0 ||
      syscall(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0) {
    return errno;
  }
  return ErrnoIf(sys::MoveMount(child.mask, "", AT_FDCWD, "/mask", MOVE_MOUNT_F_EMPTY_PATH));
}

int ChangeRoot(Child& child) {
  child.old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (child.old_root < 0) return errno;
  const int root = child.Fd(child.head().root);
  child.Note("attach");
  if (sys::MoveMount(root, "", AT_FDCWD, "/root", MOVE_MOUNT_F_EMPTY_PATH) != 0) return errno;
  child.Note("pivot_root");
  if (fchdir(root) != 0) return errno;
  if (syscall(SYS_pivot_root, ".", ".") != 0) return errno;
  child.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return ErrnoIf(child.root);
}

int DetachOldRoot(Child& child) {
  if (fchdir(child.old_root) != 0) return errno;
  if (umount2(".", MNT_DETACH) != 0) return errno;
  return ErrnoIf(fchdir(child.root));
}

// Last of all mount steps: until here mount points and the working directory could be made.
int MakeRootReadonly(Child& child) {
  if (!child.plan.Has(kPlanReadonlyRoot)) return 0;
  const sys::MountAttr readonly{MOUNT_ATTR_RDONLY, 0, 0, 0};
  return ErrnoIf(sys::MountSetattr(child.root, "", AT_EMPTY_PATH, readonly));
}

}  // namespace crisp::init
