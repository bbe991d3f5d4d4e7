// What containers write, byte for byte, in CRI log format.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "runtime/base/files.h"
#include "runtime/sys/clone.h"
#include "tests/kernel/keeper/keeper_fixture.h"
#include "tests/kernel/keeper/pattern.h"

namespace crisp::keeper {
namespace {

class LogTest : public KeeperTest {
 protected:
  std::vector<LogRecord> Finish(const std::string& id) {
    EXPECT_EQ(exits_.Wait(id), 0);
    EXPECT_TRUE(client_->FlushLog(id, 10000).ok());
    return ParseLog(Log(id));
  }
};

TEST_F(LogTest, LinesOfBothStreams) {
  ASSERT_TRUE(Start("c", {"/bin/sh", "-c", "echo one; echo; echo two >&2; printf three"}).ok());
  const auto records = Finish("c");
  EXPECT_EQ(Replay(records, "stdout"), "one\n\nthree");
  EXPECT_EQ(Replay(records, "stderr"), "two\n");
  ASSERT_EQ(records.size(), 4u);
  for (const LogRecord& record : records) EXPECT_EQ(record.tag, record.text == "three" ? "P" : "F");
}

TEST_F(LogTest, BytesOfAnyKindAndLengthComeBackExactly) {
  ASSERT_TRUE(Start("c", Workload({"bytes", "7", "3000000", "0"})).ok());
  const auto records = Finish("c");
  EXPECT_TRUE(Replay(records, "stdout") == PatternBytes(7, 3000000));
  for (const LogRecord& record : records) ASSERT_LE(record.text.size(), 16384u);
}

TEST_F(LogTest, LinesAroundTheLimitAreSplitByContentAlone) {
  for (const int length : {16383, 16384, 16385, 32768}) {
    const std::string id = "c" + std::to_string(length);
    ASSERT_TRUE(Start(id, {"/bin/sh", "-c",
                           "head -c " + std::to_string(length) + " /dev/zero; echo; echo end"})
                    .ok());
    const auto records = Finish(id);
    EXPECT_EQ(Replay(records, ""), std::string(static_cast<size_t>(length), '\0') + "\nend\n");
    EXPECT_EQ(records.size(), length <= 16384 ? 2u : 3u) << length;
    EXPECT_EQ(records[0].tag, length <= 16384 ? "F" : "P") << length;
  }
}

TEST_F(LogTest, FlushShowsWhatARunningContainerWrote) {
  const auto started = Start("c", Workload({"slow", "tick", "1000", "2000", "0"}));
  ASSERT_TRUE(started.ok());
  size_t last = 0;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(client_->FlushLog("c", 1000).ok());
    const size_t now = Log("c").size();
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_TRUE(client_->Signal("c", SIGKILL).ok());
  exits_.Wait("c");
}

TEST_F(LogTest, FlushAfterExitWaitsForBackgroundChildrenUntilItsTimeout) {
  ASSERT_TRUE(Start("c", {"/bin/sh", "-c", "sleep 100 & echo $!; exit 0"}).ok());
  EXPECT_EQ(exits_.Wait("c"), 0);
  EXPECT_TRUE(absl::IsDeadlineExceeded(client_->FlushLog("c", 50)));
  const pid_t child = atoi(Replay(ParseLog(Log("c")), "stdout").c_str());
  ASSERT_GT(child, 1);
  EXPECT_EQ(kill(child, SIGKILL), 0);
  EXPECT_TRUE(client_->FlushLog("c", 10000).ok());
}

// Files are renamed and reopened as the kubelet does it, as fast as possible; all files one after
// the other are what was written.
TEST_F(LogTest, RotationUnderLoadLosesNothing) {
  ASSERT_TRUE(Start("c", Workload({"bytes", "3", "30000000", "0"})).ok());
  std::vector<std::string> files;
  while (exits_.Count("c") == 0 && files.size() < 200) {
    files.push_back(LogPath("c") + "." + std::to_string(files.size()));
    ASSERT_EQ(rename(LogPath("c").c_str(), files.back().c_str()), 0);
    const UniqueFd log(open(LogPath("c").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(client_->SetLog("c", log.get(), 0).ok());
    // The old file is not written any more from here on.
    struct stat before;
    ASSERT_EQ(stat(files.back().c_str(), &before), 0);
    usleep(500);
    struct stat after;
    ASSERT_EQ(stat(files.back().c_str(), &after), 0);
    EXPECT_EQ(before.st_size, after.st_size);
  }
  EXPECT_EQ(exits_.Wait("c"), 0);
  EXPECT_TRUE(client_->FlushLog("c", 10000).ok());
  std::string all;
  for (const std::string& file : files) all += *ReadFile(file, 1 << 30);
  all += Log("c");
  EXPECT_GT(files.size(), 5u);
  EXPECT_TRUE(Replay(ParseLog(all), "stdout") == PatternBytes(3, 30000000));
}

TEST_F(LogTest, TtyIsOneStreamAndEndsWithItsLastProcess) {
  const UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master.valid());
  ASSERT_EQ(grantpt(master.get()) + unlockpt(master.get()), 0);
  char name[64];
  ASSERT_EQ(ptsname_r(master.get(), name, sizeof(name)), 0);
  UniqueFd slave(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  const UniqueFd log(open(LogPath("t").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  LaunchRequest request;
  request.id = "t";
  request.plan =
      Plan({"/bin/sh", "-c",
            "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo e >&2"});
  request.fds = {slave.get(), slave.get(), slave.get()};
  request.pty_master = master.get();
  request.log = log.get();
  ASSERT_TRUE(client_->Launch(request).ok());
  slave.Reset();
  const auto records = Finish("t");
  std::string want;
  for (int i = 0; i < 3000; ++i) want += "line " + std::to_string(i) + "\r\n";
  EXPECT_EQ(Replay(records, "stdout"), want + "e\r\n");
}

TEST_F(LogTest, WithoutALogOutputIsDropped) {
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  const UniqueFd out_read(out[0]);
  UniqueFd out_write(out[1]);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  LaunchRequest request;
  request.id = "c";
  request.plan = Plan({"/bin/sh", "-c", "head -c 1000000 /dev/zero"});
  request.fds = {null.get(), out_write.get(), null.get()};
  request.stdout_read = out_read.get();
  ASSERT_TRUE(client_->Launch(request).ok());
  out_write.Reset();
  EXPECT_EQ(exits_.Wait("c"), 0) << "the writer must not be blocked or killed by SIGPIPE";
}

// A full disk: whole lines only, the container is not blocked, and what comes after there is room
// again is logged.
TEST_F(LogTest, FullDiskDropsWholeLinesAndDoesNotBlock) {
  const std::string small = dir_ + "/small";
  ASSERT_EQ(mkdir(small.c_str(), 0700), 0);
  ASSERT_EQ(mount("tmpfs", small.c_str(), "tmpfs", 0, "size=256k"), 0);
  const std::string path = small + "/log";
  const UniqueFd log(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(Start("c", {"/bin/sh", "-c",
                          "read x </dev/null; sleep 0.2; i=0; while [ $i -lt 30000 ]; do echo "
                          "123456789 123456789; "
                          "i=$((i+1)); done; exit 0"})
                  .ok());
  ASSERT_TRUE(client_->SetLog("c", log.get(), 0).ok());
  EXPECT_EQ(exits_.Wait("c"), 0);
  EXPECT_TRUE(client_->FlushLog("c", 5000).ok());
  const auto records = ParseLog(*ReadFile(path));
  EXPECT_GT(records.size(), 100u);
  EXPECT_LT(records.size(), 30000u);
  for (const LogRecord& record : records) ASSERT_EQ(record.text, "123456789 123456789");
  client_->Drop("c");
  EXPECT_TRUE(Start("again", {"/bin/true"}).ok());
  EXPECT_EQ(exits_.Wait("again"), 0);
  EXPECT_EQ(umount2(small.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace crisp::keeper
