#include "runtime/container/cgroup_view.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"

namespace crisp::runtime {
namespace {

constexpr char kTop[] = "/sys/fs/cgroup";

bool IsController(absl::string_view option) {
  static const char* const kControllers[] = {
      "cpu",   "cpuacct", "cpuset",     "memory",  "devices", "freezer", "net_cls", "net_prio",
      "blkio", "pids",    "perf_event", "hugetlb", "rdma",    "misc",    "debug"};
  return std::find(std::begin(kControllers), std::end(kControllers), option) !=
         std::end(kControllers);
}

// Only what names the hierarchy (and xattr, because the kernel warns about a difference): the other
// options are properties of a hierarchy that exists already, and favordynmods must never be set.
std::vector<std::string> OptionsOf(absl::string_view super_options) {
  std::vector<std::string> options;
  for (absl::string_view option : absl::StrSplit(super_options, ',')) {
    if (absl::StartsWith(option, "name=")) options.push_back("none");
    if (IsController(option) || option == "xattr" || absl::StartsWith(option, "name=")) {
      options.emplace_back(option);
    }
  }
  // "none" contradicts controllers of a named hierarchy.
  if (std::any_of(options.begin(), options.end(), [](const auto& o) { return IsController(o); })) {
    options.erase(std::remove(options.begin(), options.end(), "none"), options.end());
  }
  return options;
}

// "31 23 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu"
void AddLine(absl::string_view line, CgroupView* view) {
  const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  if (halves.size() != 2) return;
  const std::vector<absl::string_view> head = absl::StrSplit(halves[0], ' ');
  const std::vector<absl::string_view> tail = absl::StrSplit(halves[1], ' ');
  if (head.size() < 6 || tail.size() < 3) return;
  const bool v2 = tail[0] == "cgroup2";
  if (!v2 && tail[0] != "cgroup") return;
  absl::string_view name = head[4];
  if (!absl::ConsumePrefix(&name, kTop)) return;
  if (name.empty() ? !v2 : !absl::ConsumePrefix(&name, "/")) return;
  if (absl::StrContains(name, "/") || absl::StrContains(name, "\\")) return;
  view->hierarchies.push_back(
      {std::string(name), v2, v2 ? std::vector<std::string>{} : OptionsOf(tail[2])});
}

void AddLinks(CgroupView* view) {
  const auto top = OpenDir(kTop);
  if (!top.ok()) return;
  const auto names = ListDir(top->get());
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    char target[NAME_MAX + 1];
    const ssize_t length = readlinkat(top->get(), name.c_str(), target, sizeof(target));
    if (length <= 0 || length > NAME_MAX) continue;
    const std::string text(target, static_cast<size_t>(length));
    if (text[0] != '.' && !absl::StrContains(text, "/")) view->links.emplace_back(name, text);
  }
}

}  // namespace

CgroupView ParseCgroupView(const std::string& mountinfo) {
  CgroupView view;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n')) AddLine(line, &view);
  const auto unified = std::find_if(view.hierarchies.begin(), view.hierarchies.end(),
                                    [](const auto& each) { return each.name.empty(); });
  if (unified != view.hierarchies.end()) view.hierarchies = {*unified};
  return view;
}

const CgroupView& HostCgroupView() {
  static const CgroupView* const view = [] {
    const auto text = ReadFile("/proc/self/mountinfo");
    auto* made = new CgroupView(ParseCgroupView(text.ok() ? *text : ""));
    if (made->hierarchies.size() > 1) AddLinks(made);
    return made;
  }();
  return *view;
}

}  // namespace crisp::runtime
