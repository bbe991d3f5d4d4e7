// Cgroups on the machine's own hierarchies, below a parent of the test's own. The tests adapt to
// v1, hybrid and v2 hosts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/device_program.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/cgroup/path.h"
#include "runtime/cgroup/subtree.h"
#include "tests/kernel/cgroup/members.h"

namespace crisp::runtime {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class GroupTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    parent_ = absl::StrCat("/crisp-test-", getpid(), "/pod");
    auto hierarchies = OpenHierarchies(*ReadFile("/proc/self/mountinfo"));
    ASSERT_TRUE(hierarchies.ok()) << hierarchies.status();
    hierarchies_ = *std::move(hierarchies);
    KernelFeatures features;
    features.cgroup_kill = GetParam();
    auto host = CgroupHost::Probe(features);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  // Whatever a test made is gone afterwards, the parents included.
  void TearDown() override {
    for (const Hierarchy& h : hierarchies_) {
      const auto left = Subtree(h, ParentOf(parent_));
      ASSERT_TRUE(left.ok()) << left.status();
      EXPECT_THAT(*left, ElementsAre()) << h.mount_point;
      EXPECT_TRUE(RemoveSubtree(h, ParentOf(parent_)).ok());
    }
  }
  std::unique_ptr<Cgroup> Make(const std::string& name = NewId()) {
    auto group = host_->Create(parent_, name);
    EXPECT_TRUE(group.ok()) << group.status();
    return group.ok() ? *std::move(group) : nullptr;
  }
  const Hierarchy* Of(absl::string_view controller) const {
    for (const Hierarchy& h : hierarchies_) {
      if (!h.v2 && h.Has(controller)) return &h;
    }
    for (const Hierarchy& h : hierarchies_) {
      if (h.v2 && h.Has(controller)) return &h;
    }
    return nullptr;
  }
  // "-" when this host has no such controller.
  std::string Get(const Cgroup& group, absl::string_view v1_file, absl::string_view v2_file) const {
    const Hierarchy* h = Of(v1_file.substr(0, v1_file.find('.')));
    if (!h) return "-";
    const auto text = ReadFileAt(h->root.get(), Below(group.path(), h->v2 ? v2_file : v1_file));
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
  }
  bool V2() const { return host_->mode() == CgroupMode::kV2; }

  std::string parent_;
  std::vector<Hierarchy> hierarchies_;
  std::unique_ptr<CgroupHost> host_;
};

TEST_P(GroupTest, MadeInEveryHierarchyAndRemoved) {
  const auto group = Make("c1");
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->path(), parent_ + "/c1");
  for (const Hierarchy& h : hierarchies_) {
    EXPECT_EQ(faccessat(h.root.get(), Below(group->path(), "").c_str(), F_OK, 0), 0)
        << h.mount_point;
  }
  EXPECT_EQ(group->v2_fd() >= 0, host_->mode() != CgroupMode::kV1);
  const auto tasks = group->OpenTasks();
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  EXPECT_EQ((*tasks)->files.empty(), V2());
  EXPECT_EQ(*group->OpenTasks(), *tasks) << "kept open for the next launch";

  const auto twice = host_->Create(parent_, "c1");
  EXPECT_EQ(twice.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(twice.status().message()), HasSubstr(parent_ + "/c1"));
  EXPECT_EQ(faccessat(hierarchies_[0].root.get(), Below(group->path(), "").c_str(), F_OK, 0), 0);

  EXPECT_TRUE(group->Remove().ok());
  EXPECT_TRUE(group->Remove().ok()) << "removing is idempotent";
}

TEST_P(GroupTest, FailureInOneHierarchyLeavesNothing) {
  const Hierarchy& last = hierarchies_.back();
  const auto keeper = Make("other");
  ASSERT_NE(keeper, nullptr);
  ASSERT_EQ(mkdirat(last.root.get(), Below(parent_ + "/c2", "").c_str(), 0755), 0);
  EXPECT_EQ(host_->Create(parent_, "c2").status().code(), absl::StatusCode::kAlreadyExists);
  for (size_t i = 0; i + 1 < hierarchies_.size(); ++i) {
    EXPECT_NE(faccessat(hierarchies_[i].root.get(), Below(parent_ + "/c2", "").c_str(), F_OK, 0),
              0);
  }
  auto half = host_->Open(parent_, "c2");
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_TRUE((*half)->Remove().ok());
  EXPECT_TRUE(keeper->Remove().ok());
}

// With the daemon's umask: a process in a user namespace that mounts cgroup2 must be able to search
// every directory on the way to its own, up to 6.15.
TEST_P(GroupTest, WhoIsInsideMayLook) {
  const mode_t before = umask(0022);
  const auto group = Make("c1");
  umask(before);
  ASSERT_NE(group, nullptr);
  for (const Hierarchy& h : hierarchies_) {
    for (const std::string& path : {group->path(), parent_, ParentOf(parent_)}) {
      struct stat info;
      ASSERT_EQ(fstatat(h.root.get(), Below(path, "").c_str(), &info, 0), 0) << h.mount_point;
      EXPECT_EQ(info.st_mode & 07777, 0755) << h.mount_point << path;
    }
  }
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, BadNamesAreRefused) {
  for (const char* bad : {"", "..", "a/b", "a\n"}) {
    EXPECT_EQ(host_->Create(parent_, bad).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(host_->Create("/a/../b", "c").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(GroupTest, OpenAndListIds) {
  const std::string id = NewId();
  const auto group = Make(id);
  const auto other = Make("not-an-id");
  ASSERT_TRUE(group && other);
  const auto ids = host_->ListIds(ParentOf(parent_));
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(*ids, ElementsAre(parent_ + "/" + id));
  EXPECT_THAT(*host_->ListIds("/no/such/parent"), ElementsAre());
  EXPECT_EQ(host_->Open(parent_, NewId()).status().code(), absl::StatusCode::kNotFound);
  // Another daemon finds it, and that its parents are ours to remove.
  const auto again = CgroupHost::Probe({});
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(other->Remove().ok());
  const auto opened = (*again)->Open(parent_, id);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE((*opened)->Remove().ok());
  // Without a v2 tree there is no mark, so that daemon leaves them to the first one.
  if (host_->mode() == CgroupMode::kV1) {
    EXPECT_TRUE(Make("x")->Remove().ok());
  }
}

// As a daemon leaves them that was killed between the first directory and the mark.
TEST_P(GroupTest, HalfMadeParentGoesWithItsPod) {
  const std::string top = *host_->MissingParent(parent_);
  EXPECT_EQ(top, ParentOf(parent_));
  const Hierarchy& first = hierarchies_.front();
  ASSERT_EQ(mkdirat(first.root.get(), Below(top, "").c_str(), 0755), 0);
  EXPECT_EQ(*host_->MissingParent(parent_), parent_);
  ASSERT_EQ(mkdirat(first.root.get(), Below(parent_, "").c_str(), 0755), 0);
  EXPECT_EQ(*host_->MissingParent(parent_), "");
  host_->AdoptParent("", parent_);
  host_->LeaveParent(parent_);
  EXPECT_EQ(*host_->MissingParent(parent_), "");
  host_->AdoptParent(top, parent_);
  host_->LeaveParent(parent_);
  EXPECT_EQ(*host_->MissingParent(parent_), top);
}

TEST_P(GroupTest, ForeignParentStays) {
  const std::string foreign = ParentOf(parent_);
  for (const Hierarchy& h : hierarchies_) {
    ASSERT_EQ(mkdirat(h.root.get(), Below(foreign, "").c_str(), 0755), 0);
  }
  // Made by somebody who left the v1 cpuset empty: a task must be able to join all the same.
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(RunMember(*group, [] { return 0; }), 0);
  EXPECT_TRUE(group->Remove().ok());
  for (const Hierarchy& h : hierarchies_) {
    EXPECT_EQ(unlinkat(h.root.get(), Below(foreign, "").c_str(), AT_REMOVEDIR), 0)
        << h.mount_point << strerror(errno);
  }
}

TEST_P(GroupTest, MembersAreSeenKilledAndGone) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  EXPECT_FALSE(*group->Populated());
  const pid_t pid = StartMember(*group, [] {
    for (int i = 0; i < 20; ++i) {
      if (fork() == 0) pause();
    }
    pause();
    return 0;
  });
  ASSERT_GT(pid, 0);
  // A child cgroup, as a container with its own init system makes one.
  for (const Hierarchy& h : hierarchies_) {
    ASSERT_EQ(mkdirat(h.root.get(), Below(group->path(), "inner").c_str(), 0755), 0);
  }
  EXPECT_TRUE(*group->Populated());
  EXPECT_THAT(*group->Pids(), Contains(pid));
  const Status killed = group->Kill(10000);
  EXPECT_TRUE(killed.ok()) << killed;
  EXPECT_FALSE(*group->Populated());
  EXPECT_EQ(ExitStatusOf(pid), 128 + SIGKILL);
  ReapAll();
  EXPECT_THAT(*group->Pids(), ElementsAre());
  EXPECT_TRUE(group->Kill(1000).ok()) << "an empty one is fine";
  EXPECT_TRUE(group->Remove().ok());
  EXPECT_TRUE(group->Kill(1000).ok()) << "so is one that is gone";
}

// As a pod's stop does for all its containers, before it waits for the first.
TEST_P(GroupTest, KillWithoutTimeStillSignals) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  const pid_t pid = StartMember(*group, [] { return pause(); });
  ASSERT_GT(pid, 0);
  (void)group->Kill(0);  // whether it waited long enough is not the point
  EXPECT_EQ(ExitStatusOf(pid), 128 + SIGKILL);
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, ForkBombIsKilled) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  CgroupLimits limits;
  limits.pids = 100;
  ASSERT_TRUE(group->SetLimits(limits).ok());
  const pid_t pid = StartMember(*group, [] {
    for (;;) {
      const pid_t child = fork();
      if (child == 0) setsid();
    }
    return 0;
  });
  ASSERT_GT(pid, 0);
  // It is at work when more than its first process is there.
  while (group->Pids()->size() < 50) sched_yield();
  const Status killed = group->Kill(30000);
  EXPECT_TRUE(killed.ok()) << killed;
  ReapAll();
  EXPECT_FALSE(*group->Populated());
  EXPECT_TRUE(group->Remove().ok());
}

// A process that is always another one: each list of members is old when it is read.
TEST_P(GroupTest, HoppingProcessIsKilled) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  const pid_t pid = StartMember(*group, [] {
    for (;;) {
      if (fork() > 0) _exit(0);
    }
    return 0;
  });
  ASSERT_GT(pid, 0);
  EXPECT_EQ(ExitStatusOf(pid), 0);
  const Status killed = group->Kill(5000);
  EXPECT_TRUE(killed.ok()) << killed;
  EXPECT_FALSE(*group->Populated());
  if (*group->Populated()) {  // a broken build must not leave it running
    CgroupLimits limits;
    limits.pids = 0;
    EXPECT_TRUE(group->SetLimits(limits).ok());
    EXPECT_TRUE(group->Kill(5000).ok());
  }
  ReapAll();
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, FrozenMembersAreKilled) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  const pid_t pid = StartMember(*group, [] { return pause(); });
  ASSERT_GT(pid, 0);
  if (const Hierarchy* freezer = Of("freezer")) {
    ASSERT_TRUE(
        WriteControlFile(freezer->root.get(), Below(group->path(), "freezer.state"), "FROZEN")
            .ok());
  } else {
    ASSERT_TRUE(
        WriteControlFile(hierarchies_[0].root.get(), Below(group->path(), "cgroup.freeze"), "1")
            .ok());
  }
  const Status killed = group->Kill(10000);
  EXPECT_TRUE(killed.ok()) << killed;
  EXPECT_EQ(ExitStatusOf(pid), 128 + SIGKILL);
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, RemoveOfABusyOneFails) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  const pid_t pid = StartMember(*group, [] { return pause(); });
  ASSERT_GT(pid, 0);
  EXPECT_EQ((*group->OpenTasks())->files.size(),
            hierarchies_.size() - (group->v2_fd() >= 0 ? 1u : 0u));
  // The member is surely inside when it is listed in the hierarchy that it joins last.
  EXPECT_TRUE(*group->Populated());
  EXPECT_EQ(ErrnoOf(group->Remove()), EBUSY);
  EXPECT_TRUE(group->Kill(10000).ok());
  EXPECT_EQ(ExitStatusOf(pid), 128 + SIGKILL);
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, LimitsReachTheKernel) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  CgroupLimits limits;
  limits.cpu_period_us = 50000;
  limits.cpu_quota_us = 25000;
  limits.cpu_shares = 512;
  limits.memory_bytes = 64 << 20;
  limits.memory_swap_bytes = 96 << 20;
  limits.pids = 33;
  limits.cpuset_cpus = "0";
  limits.cpuset_mems = "0";
  const Status set = group->SetLimits(limits);
  ASSERT_TRUE(set.ok()) << set;
  EXPECT_EQ(Get(*group, "cpu.shares", "cpu.weight"), V2() ? "59" : "512");
  EXPECT_EQ(Get(*group, "cpu.cfs_quota_us", "cpu.max"), V2() ? "25000 50000" : "25000");
  EXPECT_EQ(Get(*group, "memory.limit_in_bytes", "memory.max"), "67108864");
  EXPECT_EQ(Get(*group, "pids.max", "pids.max"), "33");
  EXPECT_EQ(Get(*group, "cpuset.cpus", "cpuset.cpus"), "0");

  limits.memory_bytes = 256 << 20;  // above the old memory + swap: the order matters on v1
  limits.memory_swap_bytes = 256 << 20;
  EXPECT_TRUE(group->SetLimits(limits).ok());
  EXPECT_EQ(Get(*group, "memory.limit_in_bytes", "memory.max"), "268435456");
  limits.memory_bytes = 16 << 20;
  limits.memory_swap_bytes = 16 << 20;
  EXPECT_TRUE(group->SetLimits(limits).ok());
  EXPECT_EQ(Get(*group, "memory.limit_in_bytes", "memory.max"), "16777216");

  CgroupLimits none;
  none.cpu_quota_us = -1;
  none.memory_bytes = -1;
  none.memory_swap_bytes = -1;
  none.pids = -1;
  EXPECT_TRUE(group->SetLimits(none).ok());
  EXPECT_EQ(Get(*group, "pids.max", "pids.max"), "max");
  EXPECT_EQ(Get(*group, "cpu.cfs_quota_us", "cpu.max"), V2() ? "max 50000" : "-1");
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, FailedLimitsPutTheOldOnesBack) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  CgroupLimits limits;
  limits.cpu_shares = 512;
  limits.memory_bytes = 64 << 20;
  limits.pids = 33;
  ASSERT_TRUE(group->SetLimits(limits).ok());
  limits.cpu_shares = 4096;
  limits.memory_bytes = 32 << 20;
  limits.pids = 44;
  limits.cpuset_cpus = "4000";  // written last: no such CPU
  const Status failed = group->SetLimits(limits);
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("cpuset.cpus"));
  EXPECT_EQ(Get(*group, "cpu.shares", "cpu.weight"), V2() ? "59" : "512");
  EXPECT_EQ(Get(*group, "memory.limit_in_bytes", "memory.max"), "67108864");
  EXPECT_EQ(Get(*group, "pids.max", "pids.max"), "33");
  EXPECT_TRUE(group->Remove().ok());
}

int UseTooMuch() {
  constexpr size_t kSize = 64 << 20;
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(memory, 1, kSize);
  return 0;
}

TEST_P(GroupTest, OomKillsAreCounted) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(*group->OomKills(), 0u);
  CgroupLimits limits;
  limits.memory_bytes = 16 << 20;
  limits.memory_swap_bytes = 16 << 20;
  ASSERT_TRUE(group->SetLimits(limits).ok());
  EXPECT_EQ(RunMember(*group, UseTooMuch), 128 + SIGKILL);
  EXPECT_EQ(*group->OomKills(), 1u);
  EXPECT_TRUE(group->Remove().ok());
}

// A container may make cgroups of its own. On v1 the kernel counts a kill in the victim's alone.
TEST_P(GroupTest, OomKillsBelowAreCounted) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  CgroupLimits limits;
  limits.memory_bytes = 16 << 20;
  limits.memory_swap_bytes = 16 << 20;
  ASSERT_TRUE(group->SetLimits(limits).ok());
  const Hierarchy* h = Of("memory");
  ASSERT_NE(h, nullptr);
  const std::string below = Below(group->path(), "own"), deeper = below + "/deeper";
  for (const std::string& dir : {below, deeper})
    ASSERT_EQ(mkdirat(h->root.get(), dir.c_str(), 0755), 0);
  uint64_t kills = 0;
  for (const std::string& dir : {below, deeper}) {
    const int status = RunMember(*group, [&] {
      const bool moved = WriteControlFile(h->root.get(), dir + "/cgroup.procs", "0").ok();
      return moved ? UseTooMuch() : 251;
    });
    EXPECT_EQ(status, 128 + SIGKILL);
    EXPECT_EQ(*group->OomKills(), ++kills) << dir;
  }
  EXPECT_TRUE(group->Remove().ok());
}

int OpenErrno(const char* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

TEST_P(GroupTest, S21DevicesAreAnAllowList) {
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  const Status set = group->SetDevices({{'c', 1, 3, "rw"}, {'c', 1, 9, "rwm"}});
  ASSERT_TRUE(set.ok()) << set;
  EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/null"); }), 0);
  EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/urandom"); }), 0);
  EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/zero"); }), EPERM);
  EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/full"); }), EPERM);
  const auto mknod_errno = [] {
    const std::string path = absl::StrCat("/tmp/crisp-node-", getpid());
    const int err = mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0 ? 0 : errno;
    unlink(path.c_str());
    return err;
  };
  EXPECT_EQ(RunMember(*group, mknod_errno), EPERM);
  // Everything, for a privileged container.
  EXPECT_TRUE(group->SetDevices({{'a', -1, -1, "rwm"}}).ok());
  EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/zero"); }), 0);
  EXPECT_EQ(RunMember(*group, mknod_errno), 0);
  EXPECT_FALSE(group->SetDevices({{'q', 1, 1, "r"}}).ok());
  EXPECT_TRUE(group->Remove().ok());
}

TEST_P(GroupTest, DeviceProgramOnTheV2Tree) {
  if (host_->mode() == CgroupMode::kV1) GTEST_SKIP() << "no v2 tree";
  const auto group = Make();
  ASSERT_NE(group, nullptr);
  for (const bool zero : {false, true, false}) {  // each replaces the one before
    std::vector<DeviceRule> rules = {{'c', 1, 3, "rw"}};
    if (zero) rules.push_back({'c', 1, 5, "rw"});
    const Status set = AttachDeviceProgram(group->v2_fd(), rules);
    ASSERT_TRUE(set.ok()) << set;
    EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/null"); }), 0);
    EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/zero"); }), zero ? 0 : EPERM);
  }
  // A rule without a condition makes what follows it unreachable, which the verifier refuses.
  const Status all = AttachDeviceProgram(group->v2_fd(), {{'a', -1, -1, "rwm"}, {'c', 1, 3, "r"}});
  ASSERT_TRUE(all.ok()) << all;
  EXPECT_EQ(RunMember(*group, [] { return OpenErrno("/dev/zero"); }), 0);
  EXPECT_TRUE(group->Remove().ok());
}

INSTANTIATE_TEST_SUITE_P(Kill, GroupTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "ByFile" : "ByFreezer"; });

// Leaves this process a view of the host without the v2 tree.
bool HideV2() {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return false;
  }
  for (const CgroupMount& mount : ParseCgroupMounts(*ReadFile("/proc/self/mountinfo"))) {
    if (mount.v2 && umount2(mount.mount_point.c_str(), MNT_DETACH) != 0) return false;
  }
  return true;
}

}  // namespace
}  // namespace crisp::runtime

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && strcmp(argv[1], "--without-v2") == 0) {
    if (!crisp::runtime::HideV2()) return 1;
    if (!crisp::runtime::OpenHierarchies(*crisp::ReadFile("/proc/self/mountinfo")).ok()) {
      puts("SKIPPED: this host has no cgroup v1 hierarchy");
      return 0;
    }
  }
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  return RUN_ALL_TESTS();
}
