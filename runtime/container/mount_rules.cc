#include "runtime/container/mount_rules.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace crisp::runtime {
namespace {

bool IsOrBelow(absl::string_view path, absl::string_view dir) {
  return absl::ConsumePrefix(&path, dir) && (path.empty() || path[0] == '/');
}

// Figures about the machine. Nothing that the runtime or a security module acts on.
bool IsFigure(absl::string_view name) {
  static const char* const kFigures[] = {"cpuinfo", "diskstats", "loadavg", "meminfo",   "slabinfo",
                                         "stat",    "swaps",     "uptime",  "partitions"};
  return std::find(std::begin(kFigures), std::end(kFigures), name) != std::end(kFigures);
}

bool IsProcess(absl::string_view name) {
  const absl::string_view first = name.substr(0, name.find('/'));
  return first == "self" || first == "thread-self" ||
         std::all_of(first.begin(), first.end(), absl::ascii_isdigit);
}

}  // namespace

bool IsKernelTree(absl::string_view target) {
  return IsOrBelow(target, "/proc") || IsOrBelow(target, "/sys");
}

Status CheckMountTarget(const std::string& target, bool privileged) {
  const auto refuse = [&](absl::string_view why) {
    return InvalidField("mounts.container_path", target, why);
  };
  if (target.empty() || target[0] != '/') return refuse("must be an absolute path");
  if (target == "/") return refuse("must not be the root");
  absl::string_view name = target;
  if (!absl::ConsumePrefix(&name, "/proc/")) return absl::OkStatus();
  if (IsProcess(name)) return refuse("must not be an entry of a process in /proc");
  if (privileged || IsFigure(name)) return absl::OkStatus();
  return refuse(
      "below /proc only a privileged container may have mounts, but for cpuinfo, "
      "diskstats, loadavg, meminfo, partitions, slabinfo, stat, swaps and uptime");
}

}  // namespace crisp::runtime
