// Binds, masks and read-only paths: everything by descriptor, from mount to target.
#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/init/child.h"
#include "runtime/init/child_target.h"
#include "runtime/sys/mount.h"

namespace crisp::init {
namespace {

bool IsRoot(const Child& child, int fd) {
  struct stat root, info;
  return fstat(child.root, &root) != 0 || fstat(fd, &info) != 0 ||
         (root.st_dev == info.st_dev && root.st_ino == info.st_ino);
}

int AttachOne(Child& child, const PlanMount& mount) {
  const char* path = child.plan.Text(mount.target);
  child.Note(path);
  const bool kernel_tree = mount.kernel_tree != 0;
  const int target = kernel_tree ? OpenKernelTarget(child, path)
                                 : OpenOrMakeTarget(child, path, mount.directory != 0);
  if (target < 0) return errno;
  // S2: masks and LSM labels must hit the real procfs; only a request that says so comes there.
  if (!kernel_tree && IsKernelFilesystem(target)) {
    child.Note(path, "lies in procfs or sysfs");
    return EPERM;
  }
  // A link to "/" (S1): there the mount would lie on the old root, and vanish with it.
  if (IsRoot(child, target)) {
    child.Note(path, "is the container's root");
    return EPERM;
  }
  return ErrnoIf(sys::AttachMount(child.Fd(mount.mount), target));
}

// What does not exist needs no mask; a path through a file does not exist either.
bool Missing(int err) { return err == ENOENT || err == ENOTDIR; }

int MaskOne(Child& child, const char* path) {
  const int target = OpenTarget(child, path);
  if (target < 0) return Missing(errno) ? 0 : errno;
  struct stat info;
  if (fstatat(target, "", &info, AT_EMPTY_PATH) != 0) return errno;
  const char* source = S_ISDIR(info.st_mode) ? "directory" : "file";
  const int mask = sys::OpenTree(child.mask, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (mask < 0) return errno;
  const int err = ErrnoIf(sys::AttachMount(mask, target));
  close(mask);
  close(target);
  return err;
}

int MakeOneReadonly(Child& child, const char* path) {
  const int target = OpenTarget(child, path);
  if (target < 0) return Missing(errno) ? 0 : errno;
  const int copy =
      sys::OpenTree(target, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (copy < 0) return errno;
  const sys::MountAttr readonly{MOUNT_ATTR_RDONLY, 0, 0, 0};
  if (sys::MountSetattr(copy, "", AT_EMPTY_PATH | AT_RECURSIVE, readonly) != 0) return errno;
  const int err = ErrnoIf(sys::AttachMount(copy, target));
  close(copy);
  close(target);
  return err;
}

template <typename Each>
int ForPaths(Child& child, Span paths, Each each) {
  for (uint32_t i = 0; i < paths.count; ++i) {
    const char* path = child.plan.Text(child.plan.Items<Str>(paths)[i]);
    child.Note(path);
    const int err = each(child, path);
    if (err != 0) return err;
  }
  return 0;
}

}  // namespace

int AttachMounts(Child& child) {
  const Span mounts = child.head().mounts;
  for (uint32_t i = 0; i < mounts.count; ++i) {
    const int err = AttachOne(child, child.plan.Items<PlanMount>(mounts)[i]);
    if (err != 0) return err;
  }
  return 0;
}

// S3: the source is a superblock of ours, never the container's /dev/null.
int MaskPaths(Child& child) { return ForPaths(child, child.head().masked, MaskOne); }

int MakePathsReadonly(Child& child) {
  return ForPaths(child, child.head().readonly, MakeOneReadonly);
}

}  // namespace crisp::init
