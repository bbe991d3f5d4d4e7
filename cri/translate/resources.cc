#include "cri/translate/resources.h"

#include <linux/capability.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "runtime/base/log.h"
#include "runtime/security/capabilities.h"

namespace crisp::cri {
namespace {

constexpr int kMaxHugepageLimits = 64, kMaxUnified = 256;

// "0-3,5": the kernel's list format, every number below 8192.
Status CheckCpuList(const std::string& field, const std::string& list) {
  constexpr uint32_t kMaxCpu = 8191;
  for (const absl::string_view range : absl::StrSplit(list, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    uint32_t first = 0, last = 0;
    const bool good = ends.size() <= 2 && absl::SimpleAtoi(ends[0], &first) &&
                      absl::SimpleAtoi(ends.back(), &last) &&
                      range.find_first_not_of("0123456789-") == absl::string_view::npos &&
                      first <= last && last <= kMaxCpu;
    if (!good) return InvalidField(field, list, "not a list like \"0-3,5\"");
  }
  return absl::OkStatus();
}

Status FillCpu(const v1::LinuxContainerResources& asked, runtime::CgroupLimits* limits) {
  RETURN_IF_ERROR(CheckRange("resources.cpu_period", asked.cpu_period(), 0, 1'000'000));
  RETURN_IF_ERROR(CheckRange("resources.cpu_quota", asked.cpu_quota(), -1, INT64_MAX / 1000));
  if (asked.cpu_period() != 0) {
    RETURN_IF_ERROR(CheckRange("resources.cpu_period", asked.cpu_period(), 1000, 1'000'000));
    limits->cpu_period_us = asked.cpu_period();
  }
  if (asked.cpu_quota() != 0) {
    if (asked.cpu_quota() > 0)  // the kernel's smallest slice is 1 ms
      RETURN_IF_ERROR(CheckRange("resources.cpu_quota", asked.cpu_quota(), 1000, INT64_MAX / 1000));
    limits->cpu_quota_us = asked.cpu_quota();
  }
  if (asked.cpu_shares() != 0) {
    RETURN_IF_ERROR(CheckRange("resources.cpu_shares", asked.cpu_shares(), 2, 262144));
    limits->cpu_shares = static_cast<uint64_t>(asked.cpu_shares());
  }
  if (!asked.cpuset_cpus().empty())
    RETURN_IF_ERROR(CheckCpuList("resources.cpuset_cpus", asked.cpuset_cpus()));
  if (!asked.cpuset_mems().empty())
    RETURN_IF_ERROR(CheckCpuList("resources.cpuset_mems", asked.cpuset_mems()));
  limits->cpuset_cpus = asked.cpuset_cpus();
  limits->cpuset_mems = asked.cpuset_mems();
  return absl::OkStatus();
}

Status FillMemory(const v1::LinuxContainerResources& asked, runtime::CgroupLimits* limits) {
  const int64_t memory = asked.memory_limit_in_bytes(), swap = asked.memory_swap_limit_in_bytes();
  RETURN_IF_ERROR(CheckRange("resources.memory_limit_in_bytes", memory, -1, INT64_MAX));
  RETURN_IF_ERROR(CheckRange("resources.memory_swap_limit_in_bytes", swap, -1, INT64_MAX));
  // It counts memory and swap together.
  if (swap > 0 && (memory <= 0 || swap < memory)) {
    return InvalidField("resources.memory_swap_limit_in_bytes", absl::StrCat(swap),
                        "needs a memory limit that is not larger");
  }
  if (memory != 0) limits->memory_bytes = memory;
  if (swap != 0) {
    limits->memory_swap_bytes = swap;
  } else if (memory > 0) {
    limits->memory_swap_bytes = memory;  // a limit and no word about swap: none, as containerd does
  }
  return absl::OkStatus();
}

Status FillHugepages(const v1::LinuxContainerResources& asked, runtime::CgroupLimits* limits) {
  RETURN_IF_ERROR(
      CheckRange("number of hugepage_limits", asked.hugepage_limits_size(), 0, kMaxHugepageLimits));
  for (const v1::HugepageLimit& limit : asked.hugepage_limits()) {
    const std::string& size = limit.page_size();
    const size_t digits = size.find_first_not_of("0123456789");
    const std::string unit = digits == std::string::npos ? "" : size.substr(digits);
    uint32_t number = 0;
    // Every architecture's sizes are powers of two.
    const bool power = absl::SimpleAtoi(size.substr(0, digits), &number) && number != 0 &&
                       (number & (number - 1)) == 0 && size[0] != '0';
    if (!power || (unit != "KB" && unit != "MB" && unit != "GB")) {
      return InvalidField("resources.hugepage_limits.page_size", size, "not a size like \"2MB\"");
    }
    limits->hugepages[size] = limit.limit();
  }
  return absl::OkStatus();
}

// The files of cgroup v2 that limit what a container uses. What acts at once (memory.reclaim), sets
// up triggers (*.pressure) or takes from others (cpuset.cpus.partition) is not among them, and
// cgroup.* is the structure of the tree.
bool IsLimitFile(const std::string& key) {
  static const char* const kFiles[] = {
      "cpu.idle",       "cpu.max",         "cpu.max.burst",    "cpu.uclamp.max",
      "cpu.uclamp.min", "cpu.weight",      "cpu.weight.nice",  "cpuset.cpus",
      "cpuset.mems",    "io.bfq.weight",   "io.latency",       "io.max",
      "io.prio.class",  "io.weight",       "memory.high",      "memory.low",
      "memory.max",     "memory.min",      "memory.oom.group", "memory.swap.high",
      "misc.max",       "memory.swap.max", "memory.zswap.max", "memory.zswap.writeback",
      "pids.max",       "rdma.max"};
  const auto same = [&](const char* file) { return key == file; };
  if (std::any_of(std::begin(kFiles), std::end(kFiles), same)) return true;
  return absl::StartsWith(key, "hugetlb.") && absl::EndsWith(key, "B.max") &&
         std::count(key.begin(), key.end(), '.') == 2;
}

Status FillUnified(const v1::LinuxContainerResources& asked, runtime::CgroupMode mode,
                   runtime::CgroupLimits* limits) {
  constexpr char kField[] = "resources.unified";
  RETURN_IF_ERROR(CheckRange("number of unified", asked.unified_size(), 0, kMaxUnified));
  for (const auto& [key, value] : asked.unified()) {
    if (!IsLimitFile(key)) return InvalidField(kField, key, "not a file that limits a container");
    if (mode == runtime::CgroupMode::kV1)
      return InvalidField(kField, key, "this host has no cgroup v2");
    if (value.empty()) return InvalidField(kField, key, "has no value");
    if (value.size() > 4096) return InvalidField(kField, key, "value longer than 4096 bytes");
    if (value.find('\0') != std::string::npos || value.find('\n') != std::string::npos)
      return InvalidField(kField, key, "value holds a NUL or a new line");
    limits->unified[key] = value;
  }
  return absl::OkStatus();
}

// The launch leaves crisp's own score where the kernel refuses a lower one.
void WarnOfOomScore(int score) {
  static std::once_flag said;
  const bool may = (runtime::HostCapabilities() >> CAP_SYS_RESOURCE & 1) != 0;
  if (score >= 0 || may) return;
  std::call_once(said, [&] {
    LogWarning("oom_score_adj cannot be lowered without CAP_SYS_RESOURCE",
               {{"asked", absl::StrCat(score)}});
  });
}

}  // namespace

StatusOr<Resources> TranslateResources(const v1::LinuxContainerResources& asked,
                                       runtime::CgroupMode mode) {
  Resources result;
  RETURN_IF_ERROR(FillCpu(asked, &result.limits));
  RETURN_IF_ERROR(FillMemory(asked, &result.limits));
  RETURN_IF_ERROR(FillHugepages(asked, &result.limits));
  RETURN_IF_ERROR(FillUnified(asked, mode, &result.limits));
  RETURN_IF_ERROR(CheckRange("resources.oom_score_adj", asked.oom_score_adj(), -1000, 1000));
  result.oom_score_adj = static_cast<int>(asked.oom_score_adj());
  return result;
}

Status FillResources(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxContainerResources& asked =
      input.resources ? *input.resources : input.config->linux().resources();
  ASSIGN_OR_RETURN(const Resources resources, TranslateResources(asked, input.cgroup_mode));
  spec->limits = resources.limits;
  spec->oom_score_adj = resources.oom_score_adj;
  WarnOfOomScore(spec->oom_score_adj);
  return absl::OkStatus();
}

}  // namespace crisp::cri
