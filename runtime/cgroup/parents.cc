#include "runtime/cgroup/parents.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/base/pending.h"
#include "runtime/cgroup/path.h"

namespace crisp::runtime {
namespace {

// Kept by the kernel with the directory, so that a restarted daemon knows which parents are ours.
constexpr char kMark[] = "trusted.crisp.made";

// "/a/b/c" -> "/a", "/a/b".
std::vector<std::string> Ancestors(const std::string& path) {
  std::vector<std::string> out;
  for (std::string p = ParentOf(path); p != "/"; p = ParentOf(p)) out.push_back(p);
  std::reverse(out.begin(), out.end());
  return out;
}

void Remember(HostState& state, const std::string& path) {
  if (state.v2) {
    UniqueFd dir(
        openat(state.v2->root.get(), Below(path, "").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (dir.valid()) fsetxattr(dir.get(), kMark, "1", 1, 0);
  }
  const std::lock_guard<std::mutex> lock(state.made_mutex);
  state.made.insert(path);
}

bool IsOurs(HostState& state, const std::string& path) {
  {
    const std::lock_guard<std::mutex> lock(state.made_mutex);
    if (state.made.count(path)) return true;
  }
  if (!state.v2) return false;
  UniqueFd dir(
      openat(state.v2->root.get(), Below(path, "").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  char value;
  return dir.valid() && fgetxattr(dir.get(), kMark, &value, 1) == 1;
}

// Made in all or partly there already; EEXIST is fine for a parent. One that is half made is ours
// to remove too.
Status MakeParent(HostState& state, const std::string& path) {
  bool made = false;
  const Pending remember([&] {
    if (made) Remember(state, path);
  });
  for (const Hierarchy& h : state.hierarchies) {
    if (mkdirat(h.root.get(), Below(path, "").c_str(), 0755) == 0) {
      made = true;
      if (!h.v2 && h.Has("cpuset")) RETURN_IF_ERROR(FillCpuset(h, path));
    } else if (errno != EEXIST) {
      return ErrnoStatus(errno, "make cgroup ", h.mount_point, path);
    }
  }
  return absl::OkStatus();
}

constexpr const char* kCpusetFiles[] = {"cpuset.cpus", "cpuset.mems"};

StatusOr<bool> Enabled(const Hierarchy& v2, const std::string& level,
                       const std::vector<std::string>& wanted, std::string* change) {
  ASSIGN_OR_RETURN(const std::string now,
                   ReadFileAt(v2.root.get(), Below(level, "cgroup.subtree_control")));
  const std::vector<std::string> enabled = absl::StrSplit(absl::StripAsciiWhitespace(now), ' ');
  for (const std::string& controller : wanted) {
    if (!v2.Has(controller)) continue;
    if (std::find(enabled.begin(), enabled.end(), controller) != enabled.end()) continue;
    absl::StrAppend(change, change->empty() ? "+" : " +", controller);
  }
  return change->empty();
}

}  // namespace

Status FillCpuset(const Hierarchy& cpuset, const std::string& path) {
  const std::string parent = ParentOf(path);
  for (const char* file : kCpusetFiles) {
    ASSIGN_OR_RETURN(std::string text, ReadFileAt(cpuset.root.get(), Below(parent, file)));
    if (absl::StripAsciiWhitespace(text).empty() && parent != "/") {
      // A parent that somebody else made can be empty too.
      RETURN_IF_ERROR(FillCpuset(cpuset, parent));
      ASSIGN_OR_RETURN(text, ReadFileAt(cpuset.root.get(), Below(parent, file)));
    }
    RETURN_IF_ERROR(
        WriteControlFile(cpuset.root.get(), Below(path, file), absl::StripAsciiWhitespace(text)));
  }
  return absl::OkStatus();
}

Status EnableControllers(const Hierarchy& v2, const std::string& path,
                         const std::vector<std::string>& wanted) {
  std::string change;
  ASSIGN_OR_RETURN(const bool enabled, Enabled(v2, path, wanted, &change));
  if (enabled) return absl::OkStatus();
  std::vector<std::string> levels = Ancestors(path);
  levels.insert(levels.begin(), "/");
  if (path != "/") levels.push_back(path);
  for (const std::string& level : levels) {
    change.clear();
    ASSIGN_OR_RETURN(const bool done, Enabled(v2, level, wanted, &change));
    if (done) continue;
    RETURN_IF_ERROR(
        WriteControlFile(v2.root.get(), Below(level, "cgroup.subtree_control"), change));
  }
  return absl::OkStatus();
}

Status MakeParents(HostState& state, const std::string& path) {
  for (const std::string& parent : Ancestors(path)) RETURN_IF_ERROR(MakeParent(state, parent));
  return absl::OkStatus();
}

std::string TopMissingParent(const HostState& state, const std::string& path) {
  const int root = state.hierarchies.front().root.get();
  std::string top;
  for (std::string p = ParentOf(path); p != "/"; p = ParentOf(p)) {
    if (faccessat(root, Below(p, "").c_str(), F_OK, 0) == 0) break;
    top = p;
  }
  return top;
}

void RememberParents(HostState& state, const std::string& top, const std::string& path) {
  const std::vector<std::string> above = Ancestors(path);
  for (auto it = std::find(above.begin(), above.end(), top); it != above.end(); ++it)
    Remember(state, *it);
}

void RemoveEmptyParents(HostState& state, const std::string& path) {
  const std::unique_lock<std::shared_mutex> lock(state.parents_mutex);
  for (std::string parent = ParentOf(path); parent != "/"; parent = ParentOf(parent)) {
    if (!IsOurs(state, parent)) return;
    bool busy = false;
    // The v2 directory carries the mark: it goes last, after the v1 ones.
    for (int round = 0; round < 2; ++round) {
      for (const Hierarchy& h : state.hierarchies) {
        if (h.v2 != (round == 1) || busy) continue;
        busy =
            unlinkat(h.root.get(), Below(parent, "").c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT;
      }
    }
    if (busy) return;
    const std::lock_guard<std::mutex> made_lock(state.made_mutex);
    state.made.erase(parent);
  }
}

}  // namespace crisp::runtime
