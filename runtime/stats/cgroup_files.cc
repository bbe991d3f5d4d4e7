#include "runtime/stats/cgroup_files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/stats/parse.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

constexpr int kMostKept = 16384;
constexpr size_t kFirstRead = 4096;  // memory.stat of v1 has 2 KiB
constexpr size_t kMostRead = 1 << 20;
constexpr size_t kMostMembers = 100000;

struct FileName {
  const char* v1_controller;
  const char* v1_file;  // "": not on v1
  const char* v2_file;  // "": not on v2
};

// In the order of StatFile.
constexpr FileName kNames[] = {
    {"cpuacct", "cpuacct.usage", "cpu.stat"},
    {"memory", "memory.usage_in_bytes", "memory.current"},
    {"memory", "memory.stat", "memory.stat"},
    {"memory", "", "memory.max"},
    {"memory", "", "memory.swap.current"},
    {"memory", "", "memory.swap.max"},
    {"", "", "cpu.pressure"},
    {"", "", "memory.pressure"},
    {"", "", "io.pressure"},
    {"pids", "pids.current", "pids.current"},
    {"cpuacct", "cpuacct.usage_user", ""},
    {"cpuacct", "cpuacct.usage_sys", ""},
    {"cpu", "cpu.stat", "cpu.stat"},
    {"memory", "memory.max_usage_in_bytes", "memory.peak"},
    {"memory", "memory.failcnt", "memory.events"},
    {"memory", "memory.kmem.usage_in_bytes", ""},
    {"memory", "memory.oom_control", "memory.events"},
    {"pids", "pids.max", "pids.max"},
    {"", "", "cgroup.procs"},
    {"blkio", "blkio.throttle.io_service_bytes_recursive", "io.stat"},
    {"blkio", "blkio.throttle.io_serviced_recursive", ""},
};
static_assert(std::size(kNames) == static_cast<size_t>(StatFile::kCount));

const FileName& NameOf(StatFile file) { return kNames[static_cast<size_t>(file)]; }

int DefaultLimit() {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 256;
  return static_cast<int>(std::min<rlim_t>(files.rlim_cur / 4, kMostKept));
}

}  // namespace

absl::string_view ReadKernelFile(int fd, std::string* buffer) {
  if (buffer->size() < kFirstRead) buffer->resize(kFirstRead);
  size_t size = 0;
  for (;;) {
    const ssize_t n = sys::Retry([&] {
      return pread(fd, buffer->data() + size, buffer->size() - size, static_cast<off_t>(size));
    });
    if (n < 0 && size == 0) return {};  // ENODEV: the cgroup is gone; EOPNOTSUPP: no PSI
    if (n <= 0) break;
    size += static_cast<size_t>(n);
    // A seq file gives whole records, at most a page a call: one that gave less than half has no
    // more, as no record is longer than that.
    if (static_cast<size_t>(n) < kFirstRead / 2 || size >= kMostRead) break;
    if (buffer->size() - size < kFirstRead) buffer->resize(buffer->size() * 2);
  }
  return {buffer->data(), size};
}

FdBudget::FdBudget() : limit_(DefaultLimit()) {}

bool FdBudget::Take(bool hot) {
  const int limit = hot ? limit_ : limit_ / 2;
  if (used_.fetch_add(1) < limit) return true;
  --used_;
  return false;
}

CgroupFiles::CgroupFiles(std::shared_ptr<const Cgroup> cgroup, std::shared_ptr<FdBudget> budget,
                         bool parent)
    : cgroup_(std::move(cgroup)), budget_(std::move(budget)), parent_(parent) {}

CgroupFiles::~CgroupFiles() {
  int held = 0;
  for (const Held& file : files_) held += file.known == Known::kHeld ? 1 : 0;
  budget_->Give(held);
}

bool CgroupFiles::IsV1(StatFile file) const { return cgroup_->IsV1(NameOf(file).v1_controller); }

absl::string_view CgroupFiles::Read(StatFile file, std::string* buffer) {
  const std::lock_guard<std::mutex> lock(mu_);
  Held& held = files_[static_cast<size_t>(file)];
  if (held.known == Known::kHeld) return ReadKernelFile(held.fd.get(), buffer);
  if (held.known == Known::kAbsent) return {};
  const FileName& name = NameOf(file);
  StatusOr<UniqueFd> fd =
      cgroup_->OpenFile(name.v1_controller, name.v1_file, name.v2_file, parent_);
  if (!fd.ok()) {
    if (absl::IsNotFound(fd.status())) held.known = Known::kAbsent;
    return {};
  }
  const absl::string_view text = ReadKernelFile(fd->get(), buffer);
  if (budget_->Take(file <= StatFile::kPids)) {
    held.fd = std::move(*fd);
    held.known = Known::kHeld;
  }
  return text;
}

absl::string_view CgroupFiles::ReadOnce(const std::string& v1_controller,
                                        const std::string& v1_file, const std::string& v2_file,
                                        std::string* buffer) const {
  const auto fd = cgroup_->OpenFile(v1_controller, v1_file, v2_file, parent_);
  return fd.ok() ? ReadKernelFile(fd->get(), buffer) : absl::string_view();
}

std::vector<pid_t> CgroupFiles::Members() {
  // Only execs make cgroups below a container's, and only in the v2 tree: links "..", "." and one
  // for each.
  struct stat info;
  if (cgroup_->v2_fd() < 0 || fstat(cgroup_->v2_fd(), &info) != 0 || info.st_nlink != 2)
    return cgroup_->Pids().value_or(std::vector<pid_t>{});
  std::string buffer;
  return ParsePids(Read(StatFile::kProcesses, &buffer), kMostMembers);
}

}  // namespace crisp::runtime
