#include "runtime/container/image_volume.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <thread>

#include "runtime/container/mapped_overlay.h"
#include "runtime/container/overlay.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

StatusOr<UniqueFd> CloneBelow(int tree, const std::string& sub_path) {
  const UniqueFd at(sys::OpenInRoot(tree, sub_path.c_str(), O_PATH));
  if (!at.valid()) return ErrnoStatus(errno, "find sub path \"", sub_path, "\" in the image");
  UniqueFd copy(sys::OpenTree(at.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!copy.valid()) return ErrnoStatus(errno, "clone sub path \"", sub_path, "\" of the image");
  return copy;
}

// Before 6.15 only what is attached can be cloned: in a mount namespace that ends with the thread.
Status CloneAttached(int tree, const std::string& at, const std::string& sub_path,
                     UniqueFd* result) {
  if (unshare(CLONE_FS | CLONE_NEWNS) != 0) return ErrnoStatus(errno, "make mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "make mounts private");
  }
  if (sys::MoveMount(tree, "", AT_FDCWD, at.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ErrnoStatus(errno, "attach image at ", at);
  }
  ASSIGN_OR_RETURN(*result, CloneBelow(tree, sub_path));
  return absl::OkStatus();
}

StatusOr<UniqueFd> SubTree(const UniqueFd& tree, const std::string& sub_path, const std::string& at,
                           const KernelFeatures& features) {
  if (features.clone_detached_mount) return CloneBelow(tree.get(), sub_path);
  Status status;
  UniqueFd result;
  std::thread([&] { status = CloneAttached(tree.get(), at, sub_path, &result); }).join();
  RETURN_IF_ERROR(status);
  return result;
}

StatusOr<UniqueFd> Make(const BindMount& mount, const std::string& empty_dir, int user_namespace,
                        const KernelFeatures& features, const std::string& label) {
  StatusOr<UniqueFd> whole =
      user_namespace < 0 ? MakeReadonlyOverlay(mount.image_layers, empty_dir, features, label)
                         : MakeMappedReadonlyOverlay(mount.image_layers, empty_dir, user_namespace,
                                                     features, label);
  ASSIGN_OR_RETURN(UniqueFd tree, std::move(whole));
  if (!mount.image_sub_path.empty()) {
    ASSIGN_OR_RETURN(tree, SubTree(tree, mount.image_sub_path, empty_dir, features));
  }
  const sys::MountAttr change{
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, MS_PRIVATE,
      0};
  if (sys::MountSetattr(tree.get(), "", AT_EMPTY_PATH, change) == 0) return tree;
  return ErrnoStatus(errno, "set mount attributes");
}

}  // namespace

StatusOr<UniqueFd> MakeImageVolume(const BindMount& mount, const std::string& empty_dir,
                                   int user_namespace, const KernelFeatures& features,
                                   const std::string& label) {
  StatusOr<UniqueFd> made = Make(mount, empty_dir, user_namespace, features, label);
  if (made.ok()) return made;
  return AnnotateText(made.status(),
                      absl::StrCat(kImageVolumeError, "mount image on ", mount.target));
}

}  // namespace crisp::runtime
