// Usage of a cgroup given as plain files: both versions, on any host.
#include "runtime/stats/cgroup_usage.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace crisp::runtime {
namespace {

class FileCgroup : public Cgroup {
 public:
  FileCgroup(bool v1, const std::map<std::string, std::string>& files) : v1_(v1) {
    char folder[] = "/tmp/crisp-stats-XXXXXX";
    path_ = mkdtemp(folder);
    for (const auto& [name, text] : files) std::ofstream(path_ + "/" + name) << text;
  }
  ~FileCgroup() override { std::filesystem::remove_all(path_); }
  bool IsV1(const std::string& controller) const override { return v1_ && !controller.empty(); }
  StatusOr<UniqueFd> OpenFile(const std::string& controller, const std::string& v1_file,
                              const std::string& v2_file, bool) const override {
    ++opened;
    const std::string& file = IsV1(controller) ? v1_file : v2_file;
    UniqueFd fd(file.empty() ? -1 : open((path_ + "/" + file).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return absl::NotFoundError(file);
    return fd;
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name) << text;
  }

  const std::string& path() const override { return path_; }
  int v2_fd() const override { return -1; }
  StatusOr<std::shared_ptr<const TaskFiles>> OpenTasks() const override {
    return absl::UnimplementedError("a cgroup of files");
  }
  StatusOr<Pending> ChangeLimits(const CgroupLimits&) override {
    return absl::UnimplementedError("a cgroup of files");
  }
  Status MakeRoom(int64_t) override { return absl::OkStatus(); }
  Status SetLimits(const CgroupLimits&) override { return absl::OkStatus(); }
  Status SetDevices(const std::vector<DeviceRule>&) override { return absl::OkStatus(); }
  Status Kill(int) override { return absl::OkStatus(); }
  StatusOr<bool> Populated() const override { return true; }
  StatusOr<uint64_t> OomKills() const override { return 0; }
  StatusOr<std::vector<pid_t>> Pids() const override { return std::vector<pid_t>{1, 2}; }
  Status Remove() override { return absl::OkStatus(); }

  mutable int opened = 0;

 private:
  const bool v1_;
  std::string path_;
};

TEST(Usage, V1) {
  auto cgroup = std::make_shared<FileCgroup>(
      true, std::map<std::string, std::string>{
                {"cpuacct.usage", "5000000000\n"},
                {"cpuacct.usage_user", "3000000000\n"},
                {"cpuacct.usage_sys", "2000000000\n"},
                {"cpu.stat", "nr_periods 9\nnr_throttled 4\nthrottled_time 77\n"},
                {"memory.usage_in_bytes", "1000000\n"},
                {"memory.stat",
                 "cache 1\npgfault 5\npgmajfault 1\nhierarchical_memory_limit 4000000\n"
                 "hierarchical_memsw_limit 6000000\ntotal_cache 300000\ntotal_rss 600000\n"
                 "total_mapped_file 40\ntotal_swap 500\ntotal_pgfault 50\ntotal_pgmajfault 2\n"
                 "total_inactive_file 250000\n"},
                {"memory.failcnt", "3\n"},
                {"memory.max_usage_in_bytes", "1500000\n"},
                {"memory.kmem.usage_in_bytes", "4096\n"},
                {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n"},
                {"pids.current", "11\n"},
                {"pids.max", "max\n"},
                {"cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"}});
  CgroupFiles files(cgroup, std::make_shared<FdBudget>(100), false);
  const CgroupUsage usage = ReadUsage(files);
  EXPECT_GT(usage.time_nanos, 0);
  EXPECT_EQ(usage.cpu_nanos, 5000000000u);
  EXPECT_EQ(usage.memory_bytes, 1000000u);
  EXPECT_EQ(usage.working_set_bytes, 750000u);
  EXPECT_EQ(usage.rss_bytes, 600000u);
  EXPECT_EQ(usage.memory_limit, 4000000u);
  EXPECT_TRUE(usage.has_swap);
  EXPECT_EQ(usage.swap_bytes, 500u);
  EXPECT_EQ(usage.swap_limit, 2000000u);
  EXPECT_EQ(usage.page_faults, 50u);
  EXPECT_EQ(usage.major_page_faults, 2u);
  EXPECT_EQ(usage.local_page_faults, 5u);
  ASSERT_TRUE(usage.cpu_psi);
  EXPECT_EQ(usage.cpu_psi->some.total_nanos, 9000u);
  EXPECT_FALSE(usage.memory_psi);
  EXPECT_EQ(ReadTasks(files), 11u);

  const CgroupDetails details = ReadDetails(files, usage);
  EXPECT_EQ(details.user_nanos, 3000000000u);
  EXPECT_EQ(details.system_nanos, 2000000000u);
  EXPECT_EQ(details.periods, 9u);
  EXPECT_EQ(details.throttled_periods, 4u);
  EXPECT_EQ(details.throttled_nanos, 77u);
  EXPECT_EQ(details.memory_failures, 3u);
  EXPECT_EQ(details.memory_peak, 1500000u);
  EXPECT_EQ(details.memory_kernel, 4096u);
  EXPECT_EQ(details.oom_kills, 6u);
  EXPECT_EQ(details.tasks_limit, kNoLimit);
  EXPECT_EQ(details.processes, 2u);
}

TEST(Usage, V2) {
  auto cgroup = std::make_shared<FileCgroup>(
      false, std::map<std::string, std::string>{
                 {"cpu.stat",
                  "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 1\n"
                  "nr_throttled 1\nthrottled_usec 8\n"},
                 {"memory.current", "1000\n"},
                 {"memory.max", "max\n"},
                 {"memory.swap.current", "20\n"},
                 {"memory.swap.max", "50\n"},
                 {"memory.peak", "2000\n"},
                 {"memory.stat",
                  "anon 600\nfile 300\nkernel 64\nfile_mapped 4\ninactive_file 2000\npgfault "
                  "50\npgmajfault 2\n"},
                 {"memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n"},
                 {"io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"}});
  CgroupFiles files(cgroup, std::make_shared<FdBudget>(100), false);
  const CgroupUsage usage = ReadUsage(files);
  EXPECT_EQ(usage.cpu_nanos, 5000000u);
  EXPECT_EQ(usage.working_set_bytes, 0u);  // more inactive than used: never wraps
  EXPECT_EQ(usage.memory_limit, kNoLimit);
  EXPECT_TRUE(usage.has_swap);
  EXPECT_EQ(usage.swap_bytes, 20u);
  EXPECT_EQ(usage.swap_limit, 50u);
  const CgroupDetails details = ReadDetails(files, usage);
  EXPECT_EQ(details.user_nanos, 3000000u);
  EXPECT_EQ(details.system_nanos, 2000000u);
  EXPECT_EQ(details.throttled_nanos, 8000u);
  EXPECT_EQ(details.memory_failures, 3u);
  EXPECT_EQ(details.oom_kills, 1u);
  EXPECT_EQ(details.memory_kernel, 64u);
  ASSERT_EQ(details.io.size(), 1u);
  EXPECT_EQ(details.io[0].writes, 4u);
}

// A file is opened once and its new text is seen; beyond the budget it is opened each time, and
// what is missing is not looked for again.
TEST(Usage, HeldFilesWithinTheBudget) {
  auto budget = std::make_shared<FdBudget>(2);
  auto cgroup = std::make_shared<FileCgroup>(
      true, std::map<std::string, std::string>{{"cpuacct.usage", "1"},
                                               {"memory.usage_in_bytes", "2"},
                                               {"pids.current", "3"},
                                               {"pids.max", "4"}});
  {
    CgroupFiles files(cgroup, budget, false);
    std::string buffer;
    EXPECT_EQ(files.Read(StatFile::kPidsMax, &buffer), "4");  // half of the budget: kept
    EXPECT_EQ(files.Read(StatFile::kCpuUsage, &buffer), "1");
    EXPECT_EQ(budget->used(), 2);
    EXPECT_EQ(files.Read(StatFile::kMemoryUsage, &buffer), "2");
    EXPECT_EQ(budget->used(), 2);
    const int before = cgroup->opened;
    cgroup->Write("cpuacct.usage", "7");
    EXPECT_EQ(files.Read(StatFile::kCpuUsage, &buffer), "7");
    EXPECT_EQ(cgroup->opened, before);
    EXPECT_EQ(files.Read(StatFile::kMemoryUsage, &buffer), "2");
    EXPECT_EQ(cgroup->opened, before + 1);
    EXPECT_EQ(files.Read(StatFile::kMemoryStat, &buffer), "");
    EXPECT_EQ(files.Read(StatFile::kMemoryStat, &buffer), "");
    EXPECT_EQ(cgroup->opened, before + 2);
  }
  EXPECT_EQ(budget->used(), 0);
}

TEST(Usage, LongTextIsReadToItsEnd) {
  std::string pids;
  for (int i = 1; i <= 20000; ++i) pids += std::to_string(i) + "\n";
  auto cgroup =
      std::make_shared<FileCgroup>(false, std::map<std::string, std::string>{{"io.stat", pids}});
  CgroupFiles files(cgroup, std::make_shared<FdBudget>(10), false);
  std::string buffer;
  EXPECT_EQ(files.Read(StatFile::kIoBytes, &buffer), pids);
}

TEST(Usage, Rate) {
  constexpr int64_t kSecond = 1'000'000'000;
  CpuRate rate;
  // Since the start at first, then over windows of a second or more.
  EXPECT_EQ(rate.Update(500'000'000, 100 * kSecond, 99 * kSecond), 500'000'000u);
  EXPECT_EQ(rate.Update(900'000'000, 100 * kSecond + 1000, 99 * kSecond), 500'000'000u);
  EXPECT_EQ(rate.Update(2'500'000'000, 102 * kSecond, 99 * kSecond), 1'000'000'000u);
  // Neither a counter nor a clock that goes back makes a huge number.
  EXPECT_EQ(rate.Update(0, 104 * kSecond, 99 * kSecond), 0u);
  EXPECT_EQ(rate.Update(5, 50 * kSecond, 99 * kSecond), 0u);
}

}  // namespace
}  // namespace crisp::runtime
