// The statistics files of one cgroup, each opened once and then read by pread: no path walk, one
// system call a file. How many descriptors may stay open is a budget of the process; beyond it a
// file is opened for each read.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// Descriptors that statistics may keep: a quarter of the daemon's limit, at most 16384.
class FdBudget {
 public:
  FdBudget();
  explicit FdBudget(int limit) : limit_(limit) {}
  // Files that every list call reads may use all of it, the others half.
  bool Take(bool hot);
  void Give(int count) { used_ -= count; }
  int used() const { return used_; }
  int limit() const { return limit_; }

 private:
  const int limit_;
  std::atomic<int> used_{0};
};

enum class StatFile {
  kCpuUsage,     // v1 cpuacct.usage; v2 cpu.stat
  kMemoryUsage,  // hot: read by ListContainerStats
  kMemoryStat,
  kMemoryLimit,  // v2 only; v1 has it in memory.stat
  kSwapUsage,    // v2 only
  kSwapLimit,    // v2 only
  kPressureCpu,  // the v2 tree, also on a hybrid host
  kPressureMemory,
  kPressureIo,
  kPids,  // until here hot
  kCpuUser,
  kCpuSystem,
  kCpuThrottling,  // cpu.stat of both
  kMemoryPeak,
  kMemoryFailures,  // v1 memory.failcnt; v2 memory.events
  kMemoryKernel,    // v1 only; v2 has it in memory.stat
  kOomKills,
  kPidsMax,
  kProcesses,
  kIoBytes,
  kIoOperations,  // v1 only
  kCount,
};

// The whole text of a kernel file, by pread from its beginning; "" on an error.
absl::string_view ReadKernelFile(int fd, std::string* buffer);

class CgroupFiles {
 public:
  // `parent`: the files of the cgroup above it (the pod's).
  CgroupFiles(std::shared_ptr<const Cgroup> cgroup, std::shared_ptr<FdBudget> budget, bool parent);
  ~CgroupFiles();
  CgroupFiles(const CgroupFiles&) = delete;
  CgroupFiles& operator=(const CgroupFiles&) = delete;

  // The file's text in `buffer`; "" where it is missing or the cgroup is gone.
  absl::string_view Read(StatFile file, std::string* buffer);
  // A file by its name, opened for this read.
  absl::string_view ReadOnce(const std::string& v1_controller, const std::string& v1_file,
                             const std::string& v2_file, std::string* buffer) const;
  // Whether this file's form is that of v1.
  bool IsV1(StatFile file) const;
  // Members of the cgroup and of the cgroups below it (those of execs).
  std::vector<pid_t> Members();

 private:
  const std::shared_ptr<const Cgroup> cgroup_;
  const std::shared_ptr<FdBudget> budget_;
  const bool parent_;
  std::mutex mu_;
  enum class Known : char { kNot, kAbsent, kHeld };
  struct Held {
    UniqueFd fd;
    Known known = Known::kNot;
  };
  std::array<Held, static_cast<size_t>(StatFile::kCount)> files_;
};

}  // namespace crisp::runtime
