#include "runtime/cgroup/subtree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/cgroup/path.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxDirectories = 100000;  // a privileged container can make children

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

StatusOr<std::vector<std::string>> Children(const Hierarchy& h, const std::string& path) {
  std::vector<std::string> names;
  UniqueFd fd(openat(h.root.get(), Below(path, "").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", h.mount_point, path);
  // A directory's links are "..", "." and one per child: most cgroups have none to look for.
  struct stat info;
  if (fstat(fd.get(), &info) == 0 && info.st_nlink == 2) return names;
  const std::unique_ptr<DIR, CloseDir> dir(fdopendir(fd.get()));
  if (!dir) return ErrnoStatus(errno, "read ", h.mount_point, path);
  fd.Release();
  while (const dirent* entry = readdir(dir.get())) {
    const bool self = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (entry->d_type == DT_DIR && !self) names.emplace_back(entry->d_name);
  }
  return names;
}

Status Walk(const Hierarchy& h, const std::string& path, std::vector<std::string>* out) {
  StatusOr<std::vector<std::string>> names = Children(h, path);
  // Gone meanwhile: nothing to list (ENODEV: removed while it was read).
  if (ErrnoOf(names.status()) == ENOENT || ErrnoOf(names.status()) == ENODEV) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    RETURN_IF_ERROR(Walk(h, path == "/" ? "/" + name : absl::StrCat(path, "/", name), out));
  }
  if (out->size() >= kMaxDirectories) {
    return absl::ResourceExhaustedError(
        absl::StrCat("list cgroup ", path, ": more than ", kMaxDirectories, " children"));
  }
  out->push_back(path);
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::vector<std::string>> Subtree(const Hierarchy& h, const std::string& path) {
  std::vector<std::string> out;
  RETURN_IF_ERROR(Walk(h, path, &out));
  return out;
}

StatusOr<std::vector<pid_t>> PidsOf(const Hierarchy& h, const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<std::string> directories, Subtree(h, path));
  std::vector<pid_t> pids;
  for (const std::string& directory : directories) {
    const StatusOr<std::string> text =
        ReadFileAt(h.root.get(), Below(directory, "cgroup.procs"), 64 << 20);
    const int err = ErrnoOf(text.status());
    // EOPNOTSUPP: a threaded v2 child, whose processes are listed by its domain.
    if (err == ENOENT || err == ENODEV || err == EOPNOTSUPP) continue;
    RETURN_IF_ERROR(text.status());
    for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
      int pid = 0;
      if (absl::SimpleAtoi(line, &pid)) pids.push_back(pid);
    }
  }
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

Status RemoveSubtree(const Hierarchy& h, const std::string& path) {
  const std::string name = Below(path, "");
  if (unlinkat(h.root.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  if (errno != EBUSY && errno != ENOTEMPTY) {
    return ErrnoStatus(errno, "remove cgroup ", h.mount_point, path);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> directories, Subtree(h, path));
  for (const std::string& directory : directories) {
    if (unlinkat(h.root.get(), Below(directory, "").c_str(), AT_REMOVEDIR) != 0 &&
        errno != ENOENT) {
      return ErrnoStatus(errno, "remove cgroup ", h.mount_point, directory);
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
