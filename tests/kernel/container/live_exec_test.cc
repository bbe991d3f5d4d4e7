// An exec whose streams somebody holds while it runs.
#include "runtime/container/live_exec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "tests/kernel/container/container_rig.h"

namespace crisp::testing {
namespace {

using runtime::LiveExec;
using runtime::LiveExecSpec;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kLimit(30);

void Write(int fd, const std::string& text) {
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// Reads until `want` has come, or the stream's end.
std::string ReadUntil(int fd, const std::string& want) {
  std::string text;
  pollfd poller{fd, POLLIN, 0};
  while (want.empty() || !absl::StrContains(text, want)) {
    if (poll(&poller, 1, 30000) <= 0) return text + "<nothing came>";
    char buffer[4096];
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got <= 0) return text;  // EIO is a terminal's end
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}
std::string ReadAll(int fd) { return ReadUntil(fd, ""); }

class LiveExecTest : public ::testing::TestWithParam<int> {
 protected:
  LiveExecTest() : features_(AllFeatures()[GetParam()]), rig_(features_) {
    auto spec = rig_.Shell("while :; do sleep 1000; done");
    spec.cwd = "/tmp";
    spec.user.run_as_user = 1000;
    Start(spec);
  }
  ~LiveExecTest() override {
    if (container_) rig_.Stop(*container_);
  }
  void Start(const runtime::ContainerSpec& spec) {
    if (container_) rig_.Stop(*container_);
    auto running = rig_.Start(spec);
    EXPECT_TRUE(running.ok()) << running.status();
    container_ = std::move(*running);
  }
  StatusOr<std::unique_ptr<LiveExec>> Exec(const LiveExecSpec& exec) {
    const std::shared_ptr<runtime::Cgroup> cgroup(container_->prepared->cgroup.get(),
                                                  [](runtime::Cgroup*) {});
    return LiveExec::Start(container_->spec, container_->prepared->identity,
                           container_->started.pidfd.get(), cgroup, rig_.context(), exec);
  }
  std::unique_ptr<LiveExec> Shell(const std::string& script, bool tty = false) {
    LiveExecSpec exec;
    exec.args = {"/bin/sh", "-c", script};
    exec.tty = tty;
    exec.streams = {true, true, true};
    auto live = Exec(exec);
    EXPECT_TRUE(live.ok()) << live.status();
    return live.ok() ? std::move(*live) : nullptr;
  }

  KernelFeatures features_;
  ContainerRig rig_;
  std::unique_ptr<ContainerRig::Running> container_;
};
INSTANTIATE_TEST_SUITE_P(Features, LiveExecTest, ::testing::Values(0, 1));

TEST_P(LiveExecTest, StreamsWhileItRunsAndTellsTheExitCode) {
  const auto live = Shell("echo ready; read x; echo got $x; echo bad >&2; cat | wc -c; exit 7");
  ASSERT_NE(live, nullptr);
  EXPECT_EQ(ReadUntil(live->out.get(), "ready\n"), "ready\n");
  EXPECT_FALSE(live->Ended());
  EXPECT_TRUE(absl::IsDeadlineExceeded(live->ExitCode(std::chrono::milliseconds(1)).status()));
  Write(live->in.get(), "word\n123");
  EXPECT_EQ(ReadUntil(live->out.get(), "got word\n"), "got word\n");
  live->in.Reset();
  EXPECT_EQ(ReadAll(live->out.get()), "3\n");
  EXPECT_EQ(ReadAll(live->err.get()), "bad\n");
  const auto code = live->ExitCode(kLimit);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 7);
}

TEST_P(LiveExecTest, IsWhoTheContainerIs) {
  const auto live = Shell(
      "id -u; pwd; echo $MARK; hostname; ls -l /proc/self/fd | wc -l; "
      "grep -E '^(CapEff|Seccomp):' /proc/self/status");
  ASSERT_NE(live, nullptr);
  EXPECT_THAT(ReadAll(live->out.get()),
              AllOf(HasSubstr("1000\n/tmp\nfrom-spec\npod-host\n"),
                    HasSubstr("CapEff:\t0000000000000000"), HasSubstr("Seccomp:\t2")));
}

TEST_P(LiveExecTest, StreamsNobodyAskedForAreNull) {
  LiveExecSpec exec;
  exec.args = {"/bin/sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2 >&2; cat; echo out"};
  exec.streams = {false, true, false};
  auto live = Exec(exec);
  ASSERT_TRUE(live.ok()) << live.status();
  EXPECT_FALSE((*live)->in.valid());
  EXPECT_FALSE((*live)->err.valid());
  EXPECT_EQ(ReadAll((*live)->out.get()), "out\n");
}

TEST_P(LiveExecTest, HasATerminalOfTheContainer) {
  const auto live = Shell("tty; echo $TERM; stat -c %u $(tty); read x; stty size; echo x$x", true);
  ASSERT_NE(live, nullptr);
  const std::string first = ReadUntil(live->terminal.get(), "1000\r\n");
  EXPECT_THAT(first, HasSubstr("/dev/pts/0\r\nxterm\r\n1000\r\n"));
  ASSERT_TRUE(runtime::ResizeTerminal(live->terminal.get(), 132, 43).ok());
  Write(live->terminal.get(), "yes\n");
  EXPECT_THAT(ReadAll(live->terminal.get()), HasSubstr("43 132\r\nxyes\r\n"));
  EXPECT_EQ(live->ExitCode(kLimit).value_or(-1), 0);
}

TEST_P(LiveExecTest, TerminalSignalsItsForegroundJob) {
  const auto live =
      Shell("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done", true);
  ASSERT_NE(live, nullptr);
  ReadUntil(live->terminal.get(), "ready");
  Write(live->terminal.get(), "\x03");
  EXPECT_THAT(ReadAll(live->terminal.get()), HasSubstr("interrupted"));
  EXPECT_EQ(live->ExitCode(kLimit).value_or(-1), 3);
}

TEST_P(LiveExecTest, HangUpReachesChildrenToo) {
  const auto live = Shell("echo ready; sleep 1000; echo never");
  ASSERT_NE(live, nullptr);
  ReadUntil(live->out.get(), "ready\n");
  live->HangUp(kLimit);
  EXPECT_EQ(live->ExitCode(kLimit).value_or(-1), 128 + SIGHUP);
  // The child held the other end.
  if (features_.pidfd_exit_info) {
    EXPECT_EQ(ReadAll(live->out.get()), "");
  }
}

TEST_P(LiveExecTest, IgnoringTheHangUpIsAnsweredByAKill) {
  const auto live = Shell("trap '' HUP; echo ready; while :; do sleep 1000; done");
  ASSERT_NE(live, nullptr);
  ReadUntil(live->out.get(), "ready\n");
  live->HangUp(std::chrono::milliseconds(50));
  EXPECT_EQ(live->ExitCode(kLimit).value_or(-1), 128 + SIGKILL);
}

TEST_P(LiveExecTest, EndsWithItsOwner) {
  auto live = Shell("echo ready; sleep 1000");
  ASSERT_NE(live, nullptr);
  ReadUntil(live->out.get(), "ready\n");
  const UniqueFd out = std::move(live->out);
  live = nullptr;
  if (features_.cgroup_kill) {
    EXPECT_EQ(ReadAll(out.get()), "");  // the end: nobody holds it any more
  }
}

TEST_P(LiveExecTest, WhatCannotRunSaysWhy) {
  LiveExecSpec exec;
  exec.args = {"/no/such"};
  for (const bool tty : {false, true}) {
    exec.tty = tty;
    EXPECT_THAT(std::string(Exec(exec).status().message()), HasSubstr("/no/such: ENOENT"));
  }
}

// The container's own /dev/pts is no devpts: nothing of its choice is opened.
TEST_P(LiveExecTest, ATerminalComesFromADevptsOnly) {
  const std::string volume = rig_.dir() + "/pts";
  mkdir(volume.c_str(), 0755);
  ASSERT_EQ(mkfifo((volume + "/ptmx").c_str(), 0666), 0);
  auto spec = rig_.Shell("while :; do sleep 1000; done");
  spec.mounts = {{volume, false, "/dev/pts"}};
  Start(spec);
  LiveExecSpec exec;
  exec.args = {"/bin/true"};
  exec.tty = true;
  EXPECT_THAT(std::string(Exec(exec).status().message()), HasSubstr("open terminal: /dev/pts"));
}

}  // namespace
}  // namespace crisp::testing
