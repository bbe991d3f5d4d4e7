#include "runtime/cgroup/limits.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"

namespace crisp::runtime {
namespace {

using Writes = std::vector<LimitWrite>;

std::string NumberOrMax(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

void PlanCpuV1(const CgroupLimits& limits, Writes* out) {
  if (limits.cpu_shares) out->push_back({"cpu", "cpu.shares", absl::StrCat(*limits.cpu_shares)});
  if (limits.cpu_period_us) {
    out->push_back({.controller = "cpu",
                    .file = "cpu.cfs_period_us",
                    .value = absl::StrCat(*limits.cpu_period_us),
                    .swappable = limits.cpu_quota_us.has_value()});
  }
  if (limits.cpu_quota_us) {
    out->push_back(
        {"cpu", "cpu.cfs_quota_us", absl::StrCat(std::max<int64_t>(*limits.cpu_quota_us, -1))});
  }
}

void PlanCpuV2(const CgroupLimits& limits, Writes* out) {
  if (limits.cpu_shares) {
    out->push_back({"cpu", "cpu.weight", absl::StrCat(SharesToWeight(*limits.cpu_shares))});
  }
  if (!limits.cpu_quota_us && !limits.cpu_period_us) return;
  LimitWrite write{.controller = "cpu", .file = "cpu.max"};
  if (limits.cpu_quota_us) write.value = NumberOrMax(*limits.cpu_quota_us);
  if (limits.cpu_period_us) {
    if (limits.cpu_quota_us) write.value += " ";
    absl::StrAppend(&write.value, *limits.cpu_period_us);
    write.keep_first_word = !limits.cpu_quota_us.has_value();
  }
  out->push_back(std::move(write));
}

void PlanMemoryV1(const CgroupLimits& limits, Writes* out) {
  if (limits.memory_bytes) {
    out->push_back({.controller = "memory",
                    .file = "memory.limit_in_bytes",
                    .value = absl::StrCat(*limits.memory_bytes),
                    .swappable = limits.memory_swap_bytes.has_value()});
  }
  if (limits.memory_swap_bytes) {  // absent without swap accounting
    out->push_back({.controller = "memory",
                    .file = "memory.memsw.limit_in_bytes",
                    .value = absl::StrCat(*limits.memory_swap_bytes),
                    .optional = true});
  }
}

Status PlanMemoryV2(const CgroupLimits& limits, Writes* out) {
  if (limits.memory_bytes) {
    out->push_back({"memory", "memory.max", NumberOrMax(*limits.memory_bytes)});
  }
  if (!limits.memory_swap_bytes) return absl::OkStatus();
  // v1 counts memory + swap, v2 swap alone.
  std::string swap = "max";
  if (*limits.memory_swap_bytes >= 0) {
    const int64_t memory = limits.memory_bytes.value_or(-1);
    if (memory < 0 || *limits.memory_swap_bytes < memory) {
      return InvalidField("memory_swap_limit_in_bytes", absl::StrCat(*limits.memory_swap_bytes),
                          "needs a memory limit that is not larger");
    }
    swap = absl::StrCat(*limits.memory_swap_bytes - memory);
  }
  out->push_back(
      {.controller = "memory", .file = "memory.swap.max", .value = swap, .optional = true});
  return absl::OkStatus();
}

void PlanHugepages(const CgroupLimits& limits, bool v2, Writes* out) {
  const char* suffix = v2 ? "max" : "limit_in_bytes";
  for (const auto& [size, bytes] : limits.hugepages) {
    const std::string value = absl::StrCat(bytes);
    out->push_back({"hugetlb", absl::StrCat("hugetlb.", size, ".", suffix), value});
    // Reservations too (5.7), else a mapping succeeds and its first touch is a SIGBUS.
    out->push_back({.controller = "hugetlb",
                    .file = absl::StrCat("hugetlb.", size, ".rsvd.", suffix),
                    .value = value,
                    .optional = true});
  }
}

Status PlanUnified(const CgroupLimits& limits,
                   const std::function<ControllerKind(const std::string&)>& kind, Writes* out) {
  for (const auto& [file, value] : limits.unified) {
    const size_t dot = file.find('.');
    const std::string controller = file.substr(0, dot);
    if (dot == std::string::npos || controller.empty() || controller == "cgroup" ||
        file.find('/') != std::string::npos || file.find('\0') != std::string::npos) {
      return InvalidField("unified", file, "not a controller's file");
    }
    if (kind(controller) != ControllerKind::kV2) {
      return InvalidField("unified", file, "this host has no cgroup v2 controller of that name");
    }
    out->push_back({controller, file, value});
  }
  return absl::OkStatus();
}

// FAILED_PRECONDITION when a limit was asked that nothing here can hold.
Status Require(bool asked, ControllerKind kind, const char* controller) {
  if (!asked || kind != ControllerKind::kAbsent) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("set cgroup limits: this host has no ", controller, " controller"));
}

}  // namespace

uint64_t SharesToWeight(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double log = std::log2(static_cast<double>(shares));
  const double weight = std::pow(10, (log * log + 125 * log) / 612 - 7.0 / 34);
  return static_cast<uint64_t>(std::ceil(weight - 1e-6));  // 1024 gives 100 and a rounding error
}

StatusOr<Writes> PlanLimits(const CgroupLimits& limits,
                            const std::function<ControllerKind(const std::string&)>& kind) {
  const bool cpu = limits.cpu_shares || limits.cpu_period_us || limits.cpu_quota_us;
  const bool memory = limits.memory_bytes || limits.memory_swap_bytes;
  const bool cpuset = !limits.cpuset_cpus.empty() || !limits.cpuset_mems.empty();
  RETURN_IF_ERROR(Require(cpu, kind("cpu"), "cpu"));
  RETURN_IF_ERROR(Require(memory, kind("memory"), "memory"));
  RETURN_IF_ERROR(Require(cpuset, kind("cpuset"), "cpuset"));
  RETURN_IF_ERROR(Require(limits.pids.has_value(), kind("pids"), "pids"));
  Writes out;
  if (cpu) (kind("cpu") == ControllerKind::kV2 ? PlanCpuV2 : PlanCpuV1)(limits, &out);
  if (memory && kind("memory") == ControllerKind::kV2) {
    RETURN_IF_ERROR(PlanMemoryV2(limits, &out));
  } else if (memory) {
    PlanMemoryV1(limits, &out);
  }
  if (limits.pids) out.push_back({"pids", "pids.max", NumberOrMax(*limits.pids)});
  if (!limits.cpuset_cpus.empty()) out.push_back({"cpuset", "cpuset.cpus", limits.cpuset_cpus});
  if (!limits.cpuset_mems.empty()) out.push_back({"cpuset", "cpuset.mems", limits.cpuset_mems});
  if (kind("hugetlb") != ControllerKind::kAbsent) {
    PlanHugepages(limits, kind("hugetlb") == ControllerKind::kV2, &out);
  }
  RETURN_IF_ERROR(PlanUnified(limits, kind, &out));
  return out;
}

}  // namespace crisp::runtime
