#include "runtime/container/mapped_overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "runtime/container/overlay.h"
#include "runtime/sandbox/idmap.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxOptions = 4095;  // mount(2) takes one page

StatusOr<std::vector<UniqueFd>> MapLayers(const std::vector<std::string>& dirs,
                                          int user_namespace) {
  std::vector<UniqueFd> layers;
  for (const std::string& dir : dirs) {
    UniqueFd layer(sys::OpenTree(AT_FDCWD, dir.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!layer.valid()) return ErrnoStatus(errno, "open layer ", dir);
    RETURN_IF_ERROR(Annotate(ApplyIdMap(layer.get(), user_namespace), "layer ", dir));
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::string PathOf(const UniqueFd& fd) { return absl::StrCat("/proc/self/fd/", fd.get()); }

// --- before 6.15: overlay takes only mounts of the caller's own namespace ---

// On a tmpfs over `dir`: the layers by their numbers, "root" and "empty".
Status AttachLayers(const std::vector<UniqueFd>& layers, const std::string& dir) {
  const UniqueFd context(sys::Fsopen("tmpfs"));
  if (!context.valid() || sys::FsconfigCreate(context.get()) != 0) {
    return ErrnoStatus(errno, "make mount points of layers");
  }
  const UniqueFd frame(sys::Fsmount(context.get(), 0));
  if (!frame.valid() || mkdirat(frame.get(), "root", 0700) != 0 ||
      mkdirat(frame.get(), "empty", 0755) != 0 ||
      sys::MoveMount(frame.get(), "", AT_FDCWD, dir.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ErrnoStatus(errno, "attach mount points of layers");
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string name = absl::StrCat(i);
    if (mkdirat(frame.get(), name.c_str(), 0700) != 0 ||
        sys::MoveMount(layers[i].get(), "", frame.get(), name.c_str(), MOVE_MOUNT_F_EMPTY_PATH) !=
            0) {
      return ErrnoStatus(errno, "attach layer ", i);
    }
  }
  return absl::OkStatus();
}

// What is written to, if anything is.
struct Upper {
  UniqueFd upper, work;
};

std::string OptionText(size_t layers, const Upper* upper, const std::string& label) {
  std::string text = absl::StrCat("userxattr", ContextOption(label), ",lowerdir=0");
  for (size_t i = 1; i < layers; ++i) absl::StrAppend(&text, ":", i);
  if (!upper) return layers == 1 ? text + ":empty" : text;  // overlay takes no single layer
  return absl::StrCat(text, ",volatile,upperdir=", PathOf(upper->upper),
                      ",workdir=", PathOf(upper->work));
}

Status EnterPrivate() {
  if (unshare(CLONE_FS | CLONE_NEWNS) != 0) return ErrnoStatus(errno, "make mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "make mounts private");
  }
  return absl::OkStatus();
}

// `dir` is covered by the layers: what is needed of it was opened before.
Status MountHere(const std::vector<UniqueFd>& layers, const std::string& dir, const Upper* upper,
                 const std::string& label, UniqueFd* result) {
  RETURN_IF_ERROR(AttachLayers(layers, dir));
  if (chdir(dir.c_str()) != 0) return ErrnoStatus(errno, "enter ", dir);
  const std::string options = OptionText(layers.size(), upper, label);
  if (options.size() > kMaxOptions) {
    return absl::ResourceExhaustedError(absl::StrCat("mount overlay: ", layers.size(), " layers"));
  }
  if (mount("overlay", "root", "overlay", 0, options.c_str()) != 0) {
    return ErrnoStatus(errno, "mount overlay with ", options);
  }
  result->Reset(sys::OpenTree(AT_FDCWD, "root", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  return result->valid() ? absl::OkStatus() : ErrnoStatus(errno, "clone overlay");
}

// With a mount namespace that ends with it, as MakeOverlay does it on such kernels.
template <typename Work>
StatusOr<UniqueFd> InThread(const Work& work) {
  Status status;
  UniqueFd result;
  std::thread([&] { status = work(&result); }).join();
  RETURN_IF_ERROR(status);
  return result;
}

bool TakesDetached(const KernelFeatures& features) {
  return features.clone_detached_mount && features.overlay_lowerdir_plus;
}

std::vector<std::string> PathsOf(const std::vector<UniqueFd>& layers) {
  std::vector<std::string> paths;
  for (const UniqueFd& layer : layers) paths.push_back(PathOf(layer));
  return paths;
}

}  // namespace

StatusOr<UniqueFd> MakeMappedOverlay(const std::vector<std::string>& lower_dirs,
                                     const std::string& dir, int user_namespace,
                                     const KernelFeatures& features, const std::string& label) {
  ASSIGN_OR_RETURN(const std::vector<UniqueFd> layers, MapLayers(lower_dirs, user_namespace));
  if (TakesDetached(features)) {
    return MakeOverlay(PathsOf(layers), dir + "/upper", dir + "/work", features, label);
  }
  return InThread([&](UniqueFd* result) -> Status {
    const auto open_dir = [&](const char* name) {
      return UniqueFd(open((dir + name).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    };
    RETURN_IF_ERROR(EnterPrivate());
    const Upper upper{open_dir("/upper"), open_dir("/work")};
    if (!upper.upper.valid() || !upper.work.valid())
      return ErrnoStatus(errno, "open upper directory in ", dir);
    return MountHere(layers, dir, &upper, label, result);
  });
}

StatusOr<UniqueFd> MakeMappedReadonlyOverlay(const std::vector<std::string>& lower_dirs,
                                             const std::string& empty_dir, int user_namespace,
                                             const KernelFeatures& features,
                                             const std::string& label) {
  ASSIGN_OR_RETURN(const std::vector<UniqueFd> layers, MapLayers(lower_dirs, user_namespace));
  if (TakesDetached(features))
    return MakeReadonlyOverlay(PathsOf(layers), empty_dir, features, label);
  return InThread([&](UniqueFd* result) -> Status {
    RETURN_IF_ERROR(EnterPrivate());
    return MountHere(layers, empty_dir, nullptr, label, result);
  });
}

}  // namespace crisp::runtime
