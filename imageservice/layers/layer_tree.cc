#include "imageservice/layers/layer_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "runtime/sys/mount.h"

namespace crisp::image {
namespace {

constexpr size_t kCachedDirectories = 8;
constexpr int kMaxLinks = 40;  // as the kernel

Outcome CheckComponent(std::string_view name, bool is_leaf) {
  if (name == "..") return Outcome::BadLayer("path contains \"..\"");
  if (name.size() > kMaxComponent) return Outcome::BadLayer("name longer than 255 bytes");
  if (!is_leaf && name.substr(0, 4) == ".wh.") {
    return Outcome::BadLayer("whiteout name used as a directory");
  }
  return {};
}

// What an implied directory most likely is in the layers below, which are not visible here.
mode_t ImpliedMode(const std::string& path) {
  if (path == "tmp" || path == "var/tmp") return 01777;
  if (path == "root") return 0700;
  return 0755;
}

}  // namespace

Outcome CleanPath(std::string_view path, EntryPath* out) {
  *out = EntryPath();
  size_t depth = 0;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty() || name == ".") continue;
    if (++depth > kMaxDepth) return Outcome::BadLayer("path deeper than 256 levels");
    if (!out->leaf.empty()) {
      OUTCOME_TRY(CheckComponent(out->leaf, false));
      out->directory += out->directory.empty() ? out->leaf : "/" + out->leaf;
    }
    OUTCOME_TRY(CheckComponent(name, true));
    out->leaf = std::string(name);
  }
  return {};
}

int LayerTree::Open(const std::string& path, int flags) const {
  return sys::OpenInRoot(root_, path.empty() ? "." : path.c_str(),
                         static_cast<uint64_t>(flags) | O_DIRECTORY);
}

Outcome LayerTree::OpenDirectory(const std::string& path, bool create, int* fd) {
  const auto hit = std::find_if(cache_.begin(), cache_.end(),
                                [&](const Cached& cached) { return cached.path == path; });
  if (hit != cache_.end()) {
    std::rotate(cache_.begin(), hit, std::next(hit));
    *fd = cache_.front().fd.get();
    return {};
  }
  UniqueFd opened(Open(path, O_RDONLY));
  if (!opened.valid() && create && (errno == ENOENT || errno == ENOTDIR)) {
    OUTCOME_TRY(MakeAll(path, kMaxLinks));
    opened.Reset(Open(path, O_RDONLY));
  }
  if (!opened.valid()) {
    if (errno == ELOOP || errno == ENOTDIR || errno == ENOENT) {
      return Outcome::BadLayer("directory " + path + ": " + strerror(errno));
    }
    return Outcome::System(errno, "open directory " + path);
  }
  if (cache_.size() >= kCachedDirectories) cache_.pop_back();
  cache_.insert(cache_.begin(), Cached{path, std::move(opened)});
  *fd = cache_.front().fd.get();
  return {};
}

Outcome LayerTree::MakeAll(const std::string& path, int links_left) {
  std::string parent;
  for (size_t start = 0; start < path.size();) {
    const size_t slash = std::min(path.find('/', start), path.size());
    const std::string name = path.substr(start, slash - start);
    start = slash + 1;
    if (name.empty()) continue;
    const std::string whole = parent.empty() ? name : parent + "/" + name;
    UniqueFd found(Open(whole, O_PATH));
    if (!found.valid()) OUTCOME_TRY(MakeOne(parent, name, links_left));
    parent = whole;
  }
  return {};
}

Outcome LayerTree::MakeOne(const std::string& parent, const std::string& name, int links_left) {
  UniqueFd directory(Open(parent, O_RDONLY));
  if (!directory.valid()) return Outcome::System(errno, "open directory " + parent);
  const std::string whole = parent.empty() ? name : parent + "/" + name;
  if (mkdirat(directory.get(), name.c_str(), 0700) == 0) {
    ++made_;
    if (fchmodat(directory.get(), name.c_str(), ImpliedMode(whole), 0) != 0) {
      return Outcome::System(errno, "chmod " + whole);
    }
    return {};
  }
  if (errno != EEXIST) return Outcome::System(errno, "mkdir " + whole);
  struct stat info;
  if (fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return Outcome::System(errno, "stat " + whole);
  }
  if (S_ISCHR(info.st_mode)) {  // a whiteout of the lower name, then a new directory: opaque
    OUTCOME_TRY(RemoveAt(directory.get(), name));
    OUTCOME_TRY(MakeOne(parent, name, links_left));
    UniqueFd made(Open(whole, O_RDONLY));
    return SetOpaque(made.get());
  }
  if (!S_ISLNK(info.st_mode) || links_left == 0) {
    return Outcome::BadLayer("parent " + whole + " is not a directory");
  }
  // A link of this layer to a directory of a lower one: make its target here, inside the root.
  char target[4096];
  const ssize_t size = readlinkat(directory.get(), name.c_str(), target, sizeof(target));
  if (size < 0) return Outcome::System(errno, "readlink " + whole);
  const std::string text(target, static_cast<size_t>(size));
  if (text.size() + parent.size() > 4000) return Outcome::BadLayer("link target too long");
  return MakeAll(text[0] == '/' || parent.empty() ? text : parent + "/" + text, links_left - 1);
}

Outcome RemoveAt(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return Outcome::System(errno, "unlink " + name);
  const int fd = openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return Outcome::System(errno, "open " + name);
  DIR* entries = fdopendir(fd);
  if (entries == nullptr) {
    close(fd);
    return Outcome::System(ENOMEM, "read " + name);
  }
  Outcome result;
  while (const dirent* entry = result.ok() ? readdir(entries) : nullptr) {
    const std::string child = entry->d_name;
    if (child != "." && child != "..") result = RemoveAt(fd, child);
  }
  closedir(entries);
  OUTCOME_TRY(std::move(result));
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return {};
  return Outcome::System(errno, "rmdir " + name);
}

Outcome SetOpaque(int directory) {
  if (fsetxattr(directory, "user.overlay.opaque", "y", 1, 0) == 0) return {};
  return Outcome::System(errno, "set user.overlay.opaque");
}

}  // namespace crisp::image
