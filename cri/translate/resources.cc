#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cri/translate/checks.h"
#include "cri/translate/parts.h"

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

Status FillUnified(const v1::LinuxContainerResources& asked, runtime::CgroupMode mode,
                   runtime::CgroupLimits* limits) {
  RETURN_IF_ERROR(CheckRange("number of unified", asked.unified_size(), 0, kMaxUnified));
  for (const auto& [key, value] : asked.unified()) {
    // A file name of cgroup v2: "memory.high". Never a path.
    const bool good =
        key.find('.') != std::string::npos && key[0] != '.' &&
        key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == std::string::npos &&
        key.compare(0, 7, "cgroup.") != 0;
    if (!good) return InvalidField("resources.unified", key, "not a controller's file");
    if (mode == runtime::CgroupMode::kV1)
      return InvalidField("resources.unified", key, "this host has no cgroup v2");
    if (value.size() > 4096)
      return InvalidField("resources.unified", key, "value longer than 4096 bytes");
    limits->unified[key] = value;
  }
  return absl::OkStatus();
}

}  // namespace

Status FillResources(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxContainerResources& asked = input.config->linux().resources();
  RETURN_IF_ERROR(FillCpu(asked, &spec->limits));
  RETURN_IF_ERROR(FillMemory(asked, &spec->limits));
  RETURN_IF_ERROR(FillHugepages(asked, &spec->limits));
  RETURN_IF_ERROR(FillUnified(asked, input.cgroup_mode, &spec->limits));
  RETURN_IF_ERROR(CheckRange("resources.oom_score_adj", asked.oom_score_adj(), -1000, 1000));
  spec->oom_score_adj = static_cast<int>(asked.oom_score_adj());
  return absl::OkStatus();
}

}  // namespace crisp::cri
