#include "runtime/cgroup/hierarchy.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"

namespace crisp::runtime {
namespace {

using Words = std::vector<absl::string_view>;

constexpr const char* kControllers[] = {"cpuset",  "cpu",     "cpuacct", "blkio",    "memory",
                                        "devices", "freezer", "net_cls", "net_prio", "perf_event",
                                        "hugetlb", "pids",    "rdma",    "misc"};

// mountinfo writes blanks, newlines and backslashes of a path as \ooo.
std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size();
    if (!escape) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
    i += 3;
  }
  return out;
}

void ParseV1Options(absl::string_view options, CgroupMount* mount) {
  for (absl::string_view option : absl::StrSplit(options, ',')) {
    if (absl::StartsWith(option, "name=")) mount->name = std::string(option.substr(5));
    for (const char* known : kControllers) {
      if (option == known) mount->controllers.emplace_back(option);
    }
  }
}

bool Wanted(const CgroupMount& mount) {
  return mount.v2 || !mount.controllers.empty() || mount.name == "systemd";
}

bool SameHierarchy(const CgroupMount& mount, const Hierarchy& open) {
  return mount.v2 == open.v2 && (mount.v2 || mount.controllers == open.controllers);
}

// Checked by its magic: a mount point may be covered by another file system.
StatusOr<UniqueFd> OpenRoot(const CgroupMount& mount) {
  ASSIGN_OR_RETURN(UniqueFd root, OpenDir(mount.mount_point));
  struct statfs info;
  if (fstatfs(root.get(), &info) != 0) return ErrnoStatus(errno, "statfs ", mount.mount_point);
  const auto magic = static_cast<unsigned long>(info.f_type);
  if (magic != (mount.v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC)) {
    return ErrnoStatus(ENODEV, mount.mount_point, " is covered by another mount");
  }
  return root;
}

Status ReadV2Controllers(Hierarchy* hierarchy) {
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(hierarchy->root.get(), "cgroup.controllers"));
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    hierarchy->controllers.emplace_back(word);
  }
  return absl::OkStatus();
}

// Without v1 controllers a named hierarchy is only a marker of an init system: the host is pure v2.
void DropLoneNamed(std::vector<Hierarchy>* all) {
  const bool v1 = std::any_of(all->begin(), all->end(),
                              [](const Hierarchy& h) { return !h.v2 && !h.controllers.empty(); });
  if (v1) return;
  all->erase(std::remove_if(all->begin(), all->end(), [](const Hierarchy& h) { return !h.v2; }),
             all->end());
}

}  // namespace

bool Hierarchy::Has(absl::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

std::vector<CgroupMount> ParseCgroupMounts(absl::string_view mountinfo) {
  // proc(5): id parent major:minor root mount_point options [optional ...] - type source super
  std::vector<CgroupMount> mounts;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    const Words words = absl::StrSplit(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 4 || dash - words.begin() < 6) continue;
    if (dash[1] != "cgroup" && dash[1] != "cgroup2") continue;
    CgroupMount mount{.v2 = dash[1] == "cgroup2"};
    mount.root = Unescape(words[3]);
    mount.mount_point = Unescape(words[4]);
    const Words options = absl::StrSplit(words[5], ',');
    mount.writable = std::find(options.begin(), options.end(), "rw") != options.end() &&
                     absl::StartsWith(dash[3], "rw");
    if (!mount.v2) ParseV1Options(dash[3], &mount);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

StatusOr<std::vector<Hierarchy>> OpenHierarchies(absl::string_view mountinfo) {
  std::vector<CgroupMount> mounts = ParseCgroupMounts(mountinfo);
  // A whole hierarchy is better than a part of it that somebody bound elsewhere.
  std::stable_sort(mounts.begin(), mounts.end(), [](const CgroupMount& a, const CgroupMount& b) {
    return (a.root == "/") > (b.root == "/");
  });
  std::vector<Hierarchy> all;
  for (const CgroupMount& mount : mounts) {
    if (!mount.writable || !Wanted(mount)) continue;
    const bool known = std::any_of(all.begin(), all.end(),
                                   [&](const Hierarchy& h) { return SameHierarchy(mount, h); });
    if (known) continue;
    StatusOr<UniqueFd> root = OpenRoot(mount);
    if (!root.ok()) continue;
    Hierarchy hierarchy{mount.v2, mount.mount_point, mount.controllers, *std::move(root)};
    if (mount.v2) RETURN_IF_ERROR(ReadV2Controllers(&hierarchy));
    all.push_back(std::move(hierarchy));
  }
  DropLoneNamed(&all);
  if (all.empty()) {
    return absl::FailedPreconditionError(
        "find cgroups: no cgroup hierarchy is mounted writable (see /proc/self/mountinfo)");
  }
  return all;
}

}  // namespace crisp::runtime
