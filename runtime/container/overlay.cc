#include "runtime/container/overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_join.h"
#include "runtime/base/files.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxFsconfigString = 255;
constexpr size_t kMaxOptions = 4095;  // mount(2) takes one page

// fsconfig strings are short; a longer path is named by a descriptor.
class ShortPath {
 public:
  explicit ShortPath(const std::string& path) : text_(path) {
    if (path.size() <= kMaxFsconfigString) return;
    fd_.Reset(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (fd_.valid()) text_ = absl::StrCat("/proc/self/fd/", fd_.get());
  }
  const char* get() const { return text_.c_str(); }

 private:
  UniqueFd fd_;
  std::string text_;
};

Status Configure(int context, const char* key, const std::string& path) {
  const ShortPath value(path);
  if (sys::FsconfigString(context, key, value.get()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "overlay ", key, "=", path);
}

StatusOr<UniqueFd> MountByFsconfig(const std::vector<std::string>& lower_dirs,
                                   const std::string& upper_dir, const std::string& work_dir,
                                   const std::string& label) {
  const UniqueFd context(sys::Fsopen("overlay"));
  if (!context.valid()) return ErrnoStatus(errno, "open overlay");
  for (const std::string& dir : lower_dirs) {
    RETURN_IF_ERROR(Configure(context.get(), "lowerdir+", dir));
  }
  if (!upper_dir.empty()) {
    RETURN_IF_ERROR(Configure(context.get(), "upperdir", upper_dir));
    RETURN_IF_ERROR(Configure(context.get(), "workdir", work_dir));
    if (sys::FsconfigFlag(context.get(), "volatile") != 0) {
      return ErrnoStatus(errno, "configure overlay");
    }
  }
  if (sys::FsconfigString(context.get(), "source", "overlay") != 0 ||
      sys::FsconfigFlag(context.get(), "userxattr") != 0) {
    return ErrnoStatus(errno, "configure overlay");
  }
  if (!label.empty() && sys::FsconfigString(context.get(), "context", label.c_str()) != 0) {
    return ErrnoStatus(errno, "overlay context=", label);
  }
  if (sys::FsconfigCreate(context.get()) != 0) return ErrnoStatus(errno, "create overlay");
  UniqueFd mount(sys::Fsmount(context.get(), 0));
  if (!mount.valid()) return ErrnoStatus(errno, "mount overlay");
  return mount;
}

// --- before 6.7: mount(2) with one option string, layers by their names below a common parent ---

std::string CommonParent(const std::vector<std::string>& dirs) {
  std::string parent = dirs.front().substr(0, dirs.front().rfind('/') + 1);
  for (const std::string& dir : dirs) {
    const size_t most = std::min(parent.size(), dir.size());
    size_t same = 0;
    while (same < most && parent[same] == dir[same]) ++same;
    parent.resize(same == 0 ? 0 : parent.rfind('/', same - 1) + 1);
  }
  return parent;
}

std::string Escape(const std::string& path) {
  std::string escaped;
  for (const char c : path) {
    if (c == '\\' || c == ':' || c == ',') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

std::string OptionText(const std::vector<std::string>& lower_dirs, const std::string& parent,
                       const std::string& upper_dir, const std::string& work_dir,
                       const std::string& label) {
  std::vector<std::string> names;
  for (const std::string& dir : lower_dirs) names.push_back(Escape(dir.substr(parent.size())));
  const std::string lower =
      absl::StrCat("userxattr", ContextOption(label), ",lowerdir=", absl::StrJoin(names, ":"));
  if (upper_dir.empty()) return lower;
  return absl::StrCat(lower, ",upperdir=", Escape(upper_dir), ",workdir=", Escape(work_dir),
                      ",volatile");
}

// In a thread with a mount namespace of its own: nothing shows on the host, and a clone of the
// mount outlives the namespace.
Status MountInPrivate(const std::string& parent, const std::string& target,
                      const std::string& options, UniqueFd* result) {
  if (unshare(CLONE_FS | CLONE_NEWNS) != 0) return ErrnoStatus(errno, "make mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "make mounts private");
  }
  if (chdir(parent.c_str()) != 0) return ErrnoStatus(errno, "enter ", parent);
  if (mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0) {
    return ErrnoStatus(errno, "mount overlay with ", options);
  }
  result->Reset(sys::OpenTree(AT_FDCWD, target.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  return result->valid() ? absl::OkStatus() : ErrnoStatus(errno, "clone overlay");
}

StatusOr<UniqueFd> MountByOptions(const std::vector<std::string>& lower_dirs,
                                  const std::string& upper_dir, const std::string& work_dir,
                                  const std::string& label) {
  const std::string parent = CommonParent(lower_dirs);
  const std::string options = OptionText(lower_dirs, parent, upper_dir, work_dir, label);
  if (options.size() > kMaxOptions) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "mount overlay: ", lower_dirs.size(), " layers need ", options.size(),
        " bytes of options, this kernel takes ", kMaxOptions, " (Linux 6.7 has no such limit)"));
  }
  Status status;
  UniqueFd result;
  std::thread([&] { status = MountInPrivate(parent, work_dir, options, &result); }).join();
  RETURN_IF_ERROR(status);
  return result;
}

}  // namespace

std::string ContextOption(const std::string& label) {
  return label.empty() ? "" : absl::StrCat(",context=\"", label, "\"");
}

StatusOr<UniqueFd> MakeOverlay(const std::vector<std::string>& lower_dirs,
                               const std::string& upper_dir, const std::string& work_dir,
                               const KernelFeatures& features, const std::string& label) {
  if (lower_dirs.empty()) return absl::InvalidArgumentError("mount overlay: no lower directory");
  if (features.overlay_lowerdir_plus) {
    return MountByFsconfig(lower_dirs, upper_dir, work_dir, label);
  }
  return MountByOptions(lower_dirs, upper_dir, work_dir, label);
}

StatusOr<UniqueFd> MakeReadonlyOverlay(const std::vector<std::string>& lower_dirs,
                                       const std::string& empty_dir, const KernelFeatures& features,
                                       const std::string& label) {
  std::vector<std::string> dirs = lower_dirs;
  if (dirs.size() < 2) dirs.push_back(empty_dir);
  return MakeOverlay(dirs, "", empty_dir, features, label);
}

}  // namespace crisp::runtime
