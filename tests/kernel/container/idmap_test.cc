// User namespaces without inhabitants, and mounts that translate ids through them.
#include "runtime/sandbox/idmap.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "runtime/sys/mount.h"

namespace crisp::testing {
namespace {

using ::testing::HasSubstr;

runtime::IdMap Map(uint32_t host_id = 200000, uint32_t length = 65536) {
  return {{{0, host_id, length}}, {{0, host_id + 1000, length}}};
}

TEST(IdMap, RefusesWhatTheKernelCannotTake) {
  EXPECT_TRUE(runtime::CheckIdMap("m", Map()).ok());
  const runtime::IdRange range{0, 1000, 10};
  const std::vector<std::vector<runtime::IdRange>> bad = {
      {},
      {{0, 1000, 0}},
      {{0, UINT32_MAX, 1}},
      {{UINT32_MAX - 1, 0, 2}},
      {{0, 1000, 10}, {9, 2000, 10}},
      {{0, 1000, 10}, {10, 1009, 10}},
      std::vector<runtime::IdRange>(341, range)};
  for (const auto& ranges : bad) {
    const Status users = runtime::CheckIdMap("m", {ranges, {range}});
    const Status groups = runtime::CheckIdMap("m", {{range}, ranges});
    EXPECT_TRUE(absl::IsInvalidArgument(users)) << users << " " << ranges.size();
    EXPECT_TRUE(absl::IsInvalidArgument(groups)) << groups << " " << ranges.size();
  }
}

TEST(IdMap, LeavesNoProcessBehind) {
  for (int i = 0; i < 50; ++i) {
    const auto made = runtime::MakeUserNamespace(Map());
    ASSERT_TRUE(made.ok()) << made.status();
  }
  siginfo_t info;
  EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(IdMap, MountShowsMappedOwners) {
  char dir[] = "/tmp/crisp-idmap-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  const std::string file = std::string(dir) + "/file";
  const UniqueFd made(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  ASSERT_TRUE(made.valid());
  ASSERT_EQ(chown(file.c_str(), 5, 7), 0);
  const auto space = runtime::MakeUserNamespace(Map());
  ASSERT_TRUE(space.ok()) << space.status();
  UniqueFd tree(sys::OpenTree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  ASSERT_TRUE(tree.valid());
  const Status mapped = runtime::ApplyIdMap(tree.get(), space->get());
  ASSERT_TRUE(mapped.ok()) << mapped;
  struct stat info;
  ASSERT_EQ(fstatat(tree.get(), "file", &info, 0), 0);
  EXPECT_EQ(info.st_uid, 200005u);
  EXPECT_EQ(info.st_gid, 201007u);
  // Who creates a file through the mount needs an id that is mapped back: the host's root is not.
  EXPECT_EQ(openat(tree.get(), "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0644), -1);
  EXPECT_EQ(errno, EOVERFLOW);
  std::filesystem::remove_all(dir);
}

TEST(IdMap, SaysWhenAFileSystemCannot) {
  const auto space = runtime::MakeUserNamespace(Map());
  ASSERT_TRUE(space.ok()) << space.status();
  UniqueFd tree(sys::OpenTree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  ASSERT_TRUE(tree.valid());
  const Status mapped = runtime::ApplyIdMap(tree.get(), space->get());
  EXPECT_TRUE(absl::IsFailedPrecondition(mapped)) << mapped;
  EXPECT_THAT(std::string(mapped.message()), HasSubstr("cannot be id-mapped"));
}

}  // namespace
}  // namespace crisp::testing
