// What a cgroup uses, in one form for v1 and v2.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/stats/cgroup_files.h"
#include "runtime/stats/parse.h"

namespace crisp::runtime {

// What every statistics call needs.
struct CgroupUsage {
  int64_t time_nanos = 0;  // real time of the reading
  uint64_t cpu_nanos = 0;
  uint64_t memory_bytes = 0, working_set_bytes = 0, rss_bytes = 0;
  uint64_t memory_limit = kNoLimit;
  uint64_t page_faults = 0, major_page_faults = 0;
  bool has_swap = false;  // the host accounts swap
  uint64_t swap_bytes = 0, swap_limit = kNoLimit;
  std::optional<Psi> cpu_psi, memory_psi, io_psi;
  // From the same memory.stat.
  uint64_t cache_bytes = 0, mapped_bytes = 0, kernel_bytes = 0;
  uint64_t local_page_faults = 0, local_major_page_faults = 0;
};
CgroupUsage ReadUsage(CgroupFiles& files);
// Threads, as pids.current counts them, in the cgroup and below it.
uint64_t ReadTasks(CgroupFiles& files);

// Beyond that for ListPodSandboxMetrics.
struct CgroupDetails {
  uint64_t user_nanos = 0, system_nanos = 0;
  uint64_t periods = 0, throttled_periods = 0, throttled_nanos = 0;
  uint64_t memory_peak = 0, memory_failures = 0, memory_kernel = 0, oom_kills = 0;
  uint64_t tasks_limit = kNoLimit;
  uint64_t processes = 0, file_descriptors = 0;
  std::vector<DeviceIo> io;
};
// `usage` is of the same moment.
CgroupDetails ReadDetails(CgroupFiles& files, const CgroupUsage& usage);

// CPU use per second over the time between readings at least a second apart; before the second of
// them since the start. Thread-safe.
class CpuRate {
 public:
  uint64_t Update(uint64_t cpu_nanos, int64_t time_nanos, int64_t started_nanos);

 private:
  std::mutex mu_;
  uint64_t cpu_ = 0, rate_ = 0;
  int64_t time_ = 0;
};

}  // namespace crisp::runtime
