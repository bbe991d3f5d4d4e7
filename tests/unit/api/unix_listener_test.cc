#include "cri/api/unix_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "runtime/base/files.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class UnixListener : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-listener-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    path_ = dir_ + "/s.sock";
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(-100, dir_).ok()); }

  std::string dir_, path_;
};

TEST_F(UnixListener, HasExactlyTheModeAskedFor) {
  for (mode_t mode : {0600, 0660}) {
    auto lock = ClaimSocketPath(path_);
    ASSERT_TRUE(lock.ok()) << lock.status();
    auto fd = ListenUnix(path_, mode, 4);
    ASSERT_TRUE(fd.ok()) << fd.status();
    struct stat info;
    ASSERT_EQ(stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode, S_IFSOCK | mode);
  }  // the second round replaces the stale socket of the first
}

TEST_F(UnixListener, SecondDaemonIsRefused) {
  auto lock = ClaimSocketPath(path_);
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(ClaimSocketPath(path_).status().message(), "another crisp serves " + path_);
}

TEST_F(UnixListener, ForeignServerIsNotPushedAway) {
  auto foreign = ListenUnix(path_, 0600, 4);
  ASSERT_TRUE(foreign.ok());
  EXPECT_THAT(std::string(ClaimSocketPath(path_).status().message()),
              HasSubstr("another server answers"));
  struct stat info;
  EXPECT_EQ(stat(path_.c_str(), &info), 0);
}

TEST_F(UnixListener, FileThatIsNoSocketIsKept) {
  auto dir = OpenDir(dir_);
  ASSERT_TRUE(dir.ok());
  ASSERT_TRUE(WriteFileAtomic(dir->get(), "s.sock", "precious", 0600, false).ok());
  EXPECT_THAT(std::string(ClaimSocketPath(path_).status().message()), HasSubstr("not a socket"));
  EXPECT_EQ(*ReadFile(path_), "precious");
}

TEST_F(UnixListener, RefusesPathsThatNoSocketCanHave) {
  EXPECT_FALSE(ClaimSocketPath("relative.sock").ok());
  EXPECT_FALSE(ClaimSocketPath("").ok());
  EXPECT_THAT(std::string(ClaimSocketPath("/tmp/" + std::string(103, 'a')).status().message()),
              HasSubstr("107"));
}

TEST_F(UnixListener, MakesTheDirectory) {
  auto lock = ClaimSocketPath(dir_ + "/a/b/s.sock");
  EXPECT_TRUE(lock.ok()) << lock.status();
}

}  // namespace
}  // namespace crisp
