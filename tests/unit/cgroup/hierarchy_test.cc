#include "runtime/cgroup/hierarchy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/cgroup/path.h"

namespace crisp::runtime {
namespace {

using testing::ElementsAre;

TEST(ParseCgroupMounts, JoinedNamedAndV2) {
  const auto mounts = ParseCgroupMounts(
      "30 24 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n"
      "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 master:2 - cgroup cgroup "
      "rw,cpu,cpuacct\n"
      "32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
      "33 30 0:29 /../.. /mnt/two\\040words rw - cgroup2 cgroup2 rw,nsdelegate\n"
      "34 30 0:30 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  ASSERT_EQ(mounts.size(), 4u);
  EXPECT_THAT(mounts[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(mounts[0].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_TRUE(mounts[0].writable);
  EXPECT_EQ(mounts[1].name, "systemd");
  EXPECT_TRUE(mounts[1].controllers.empty());
  EXPECT_TRUE(mounts[2].v2);
  EXPECT_EQ(mounts[2].mount_point, "/mnt/two words");
  EXPECT_EQ(mounts[2].root, "/../..");
  EXPECT_FALSE(mounts[3].writable);
}

TEST(ParseCgroupMounts, OddLinesAreSkipped) {
  for (const char* text :
       {"", "\n", "x", "- - - -", "1 2 3 / / rw -", "1 2 3 / / rw - cgroup",
        "1 2 3 / / rw - cgroup c", " - cgroup cgroup rw,cpu", "1 2 3 / / - cgroup cgroup rw,cpu"}) {
    EXPECT_TRUE(ParseCgroupMounts(text).empty()) << text;
  }
}

TEST(OpenHierarchies, NoneIsAClearError) {
  const auto none = OpenHierarchies("1 2 0:3 / /nonexistent rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(OpenHierarchies, CoveredMountIsNotUsed) {
  // /tmp is not a cgroup file system, whatever the line says.
  EXPECT_FALSE(OpenHierarchies("1 2 0:3 / /tmp rw - cgroup2 cgroup2 rw\n").ok());
}

TEST(NormalizeCgroupParent, Table) {
  const std::vector<std::pair<std::string, std::string>> good = {
      {"", "/crisp"},
      {"/", "/"},
      {"kubepods", "/kubepods"},
      {"//kubepods///pod1/", "/kubepods/pod1"},
      {"/a/./b", "/a/b"},
      {"/...", "/..."},
      {"/" + std::string(255, 'a'), "/" + std::string(255, 'a')}};
  for (const auto& [from, to] : good) {
    const auto path = NormalizeCgroupParent(from);
    ASSERT_TRUE(path.ok()) << path.status();
    EXPECT_EQ(*path, to);
  }
  for (const std::string& bad :
       {std::string("/a/../b"), std::string(".."), std::string("/a\0b", 4), std::string("/a\nb"),
        "/" + std::string(256, 'a'), "/" + std::string(4096, '/') + "a"}) {
    const Status status = NormalizeCgroupParent(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find("cgroup_parent"), std::string::npos);
  }
}

TEST(Paths, BelowAndParent) {
  EXPECT_EQ(Below("/a/b", "f"), "a/b/f");
  EXPECT_EQ(Below("/a/b", ""), "a/b");
  EXPECT_EQ(Below("/", "f"), "f");
  EXPECT_EQ(Below("/", ""), ".");
  EXPECT_EQ(ParentOf("/a/b"), "/a");
  EXPECT_EQ(ParentOf("/a"), "/");
}

}  // namespace
}  // namespace crisp::runtime
