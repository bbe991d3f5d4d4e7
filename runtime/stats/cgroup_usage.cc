#include "runtime/stats/cgroup_usage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>

#include "runtime/base/stages.h"

namespace crisp::runtime {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr size_t kMostInspected = 512;  // processes whose descriptors are counted

uint64_t NumberOf(CgroupFiles& files, StatFile file, std::string* buffer, uint64_t absent = 0) {
  return ParseNumber(files.Read(file, buffer)).value_or(absent);
}

void ReadCpu(CgroupFiles& files, std::string* buffer, CgroupUsage* usage) {
  if (files.IsV1(StatFile::kCpuUsage)) {
    usage->cpu_nanos = NumberOf(files, StatFile::kCpuUsage, buffer);
    return;
  }
  uint64_t micros = 0;
  ParseKeyed(files.Read(StatFile::kCpuUsage, buffer), {{"usage_usec", &micros}});
  usage->cpu_nanos = micros * 1000;
}

uint64_t Less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// v1 says "no limit" as the largest page-aligned number.
uint64_t V1Limit(uint64_t value) { return value >= uint64_t{1} << 62 ? kNoLimit : value; }

void ReadMemoryV1(absl::string_view stat, CgroupUsage* usage) {
  uint64_t inactive = 0, limit = kNoLimit, memsw = kNoLimit;
  ParseKeyed(stat, {{"pgfault", &usage->local_page_faults},
                    {"pgmajfault", &usage->local_major_page_faults},
                    {"hierarchical_memory_limit", &limit},
                    {"total_cache", &usage->cache_bytes},
                    {"total_rss", &usage->rss_bytes},
                    {"total_mapped_file", &usage->mapped_bytes},
                    {"total_swap", &usage->swap_bytes},
                    {"total_pgfault", &usage->page_faults},
                    {"total_pgmajfault", &usage->major_page_faults},
                    {"total_inactive_file", &inactive}});
  usage->has_swap = ParseKeyed(stat, {{"hierarchical_memsw_limit", &memsw}});
  usage->memory_limit = V1Limit(limit);
  if (V1Limit(memsw) != kNoLimit) usage->swap_limit = Less(memsw, limit);
  usage->working_set_bytes = Less(usage->memory_bytes, inactive);
}

void ReadMemoryV2(CgroupFiles& files, absl::string_view stat, std::string* buffer,
                  CgroupUsage* usage) {
  uint64_t inactive = 0;
  ParseKeyed(stat, {{"anon", &usage->rss_bytes},
                    {"file", &usage->cache_bytes},
                    {"kernel", &usage->kernel_bytes},
                    {"file_mapped", &usage->mapped_bytes},
                    {"inactive_file", &inactive},
                    {"pgfault", &usage->page_faults},
                    {"pgmajfault", &usage->major_page_faults}});
  usage->local_page_faults = usage->page_faults;
  usage->local_major_page_faults = usage->major_page_faults;
  usage->working_set_bytes = Less(usage->memory_bytes, inactive);
  usage->memory_limit = NumberOf(files, StatFile::kMemoryLimit, buffer, kNoLimit);
  const auto swap = ParseNumber(files.Read(StatFile::kSwapUsage, buffer));
  usage->has_swap = swap.has_value();
  usage->swap_bytes = swap.value_or(0);
  if (swap) usage->swap_limit = NumberOf(files, StatFile::kSwapLimit, buffer, kNoLimit);
}

// The kernel gives the count of open descriptors as the size of /proc/PID/fd (6.2 on; before that
// the size is 0 and nothing is counted).
uint64_t DescriptorsOf(const std::vector<pid_t>& members) {
  uint64_t count = 0;
  size_t left = kMostInspected;
  for (const pid_t pid : members) {
    if (left-- == 0) break;
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    struct stat info;
    if (stat(path, &info) == 0) count += static_cast<uint64_t>(info.st_size);
  }
  return count;
}

void ReadCpuDetails(CgroupFiles& files, std::string* buffer, CgroupDetails* details) {
  const absl::string_view stat = files.Read(StatFile::kCpuThrottling, buffer);
  uint64_t user = 0, system = 0, throttled_micros = 0;
  ParseKeyed(stat, {{"nr_periods", &details->periods},
                    {"nr_throttled", &details->throttled_periods},
                    {"throttled_time", &details->throttled_nanos},
                    {"throttled_usec", &throttled_micros},
                    {"user_usec", &user},
                    {"system_usec", &system}});
  if (throttled_micros != 0) details->throttled_nanos = throttled_micros * 1000;
  details->user_nanos = user * 1000;
  details->system_nanos = system * 1000;
  if (!files.IsV1(StatFile::kCpuUser)) return;
  details->user_nanos = NumberOf(files, StatFile::kCpuUser, buffer);
  details->system_nanos = NumberOf(files, StatFile::kCpuSystem, buffer);
}

void ReadMemoryDetails(CgroupFiles& files, const CgroupUsage& usage, std::string* buffer,
                       CgroupDetails* details) {
  details->memory_peak = NumberOf(files, StatFile::kMemoryPeak, buffer);
  ParseKeyed(files.Read(StatFile::kOomKills, buffer), {{"oom_kill", &details->oom_kills}});
  if (files.IsV1(StatFile::kMemoryStat)) {
    details->memory_failures = NumberOf(files, StatFile::kMemoryFailures, buffer);
    details->memory_kernel = NumberOf(files, StatFile::kMemoryKernel, buffer);
  } else {
    ParseKeyed(files.Read(StatFile::kMemoryFailures, buffer), {{"max", &details->memory_failures}});
    details->memory_kernel = usage.kernel_bytes;
  }
}

void ReadIo(CgroupFiles& files, std::string* buffer, CgroupDetails* details) {
  if (!files.IsV1(StatFile::kIoBytes)) {
    details->io = ParseIoStat(files.Read(StatFile::kIoBytes, buffer));
    return;
  }
  std::string second;
  const absl::string_view bytes = files.Read(StatFile::kIoBytes, buffer);
  details->io = ParseBlkio(bytes, files.Read(StatFile::kIoOperations, &second));
}

}  // namespace

CgroupUsage ReadUsage(CgroupFiles& files) {
  thread_local std::string buffer;
  CgroupUsage usage;
  usage.time_nanos = RealtimeNanos();
  ReadCpu(files, &buffer, &usage);
  usage.memory_bytes = NumberOf(files, StatFile::kMemoryUsage, &buffer);
  const absl::string_view stat = files.Read(StatFile::kMemoryStat, &buffer);
  if (files.IsV1(StatFile::kMemoryStat)) {
    ReadMemoryV1(stat, &usage);
  } else {
    ReadMemoryV2(files, stat, &buffer, &usage);
  }
  usage.cpu_psi = ParsePsi(files.Read(StatFile::kPressureCpu, &buffer));
  usage.memory_psi = ParsePsi(files.Read(StatFile::kPressureMemory, &buffer));
  usage.io_psi = ParsePsi(files.Read(StatFile::kPressureIo, &buffer));
  return usage;
}

uint64_t ReadTasks(CgroupFiles& files) {
  thread_local std::string buffer;
  return NumberOf(files, StatFile::kPids, &buffer);
}

CgroupDetails ReadDetails(CgroupFiles& files, const CgroupUsage& usage) {
  thread_local std::string buffer;
  CgroupDetails details;
  ReadCpuDetails(files, &buffer, &details);
  ReadMemoryDetails(files, usage, &buffer, &details);
  details.tasks_limit = NumberOf(files, StatFile::kPidsMax, &buffer, kNoLimit);
  const std::vector<pid_t> members = files.Members();
  details.processes = members.size();
  details.file_descriptors = DescriptorsOf(members);
  ReadIo(files, &buffer, &details);
  return details;
}

uint64_t CpuRate::Update(uint64_t cpu_nanos, int64_t time_nanos, int64_t started_nanos) {
  const std::lock_guard<std::mutex> lock(mu_);
  const int64_t since = time_ == 0 ? started_nanos : time_;
  const int64_t passed = time_nanos - since;
  if (time_ != 0 && passed < kNanosPerSecond) return rate_;
  // A clock that was set back, or a counter that began anew, gives no rate.
  const uint64_t used = Less(cpu_nanos, cpu_);
  if (passed > 0)
    rate_ = static_cast<uint64_t>(static_cast<double>(used) * kNanosPerSecond /
                                  static_cast<double>(passed));
  cpu_ = cpu_nanos;
  time_ = time_nanos;
  return rate_;
}

}  // namespace crisp::runtime
