// kill -9 of the daemon at any time: the keeper goes on logging and reaping, and the next daemon
// finds every container, every exit and every byte.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <set>

#include "runtime/base/files.h"
#include "runtime/sys/clone.h"
#include "tests/kernel/keeper/keeper_fixture.h"

namespace crisp::keeper {
namespace {

constexpr int kKills = 50;
constexpr int kLines = 20000;

int CodeOf(const std::string& id) { return static_cast<int>(std::hash<std::string>()(id) % 200); }

class DaemonKillTest : public KeeperTest {
 protected:
  void SetUp() override {
    KeeperTest::SetUp();
    // One container holds the keeper up while no daemon is there.
    ASSERT_TRUE(Start("base", Workload({"slow", "tick", "100000", "200", "0"})).ok());
    client_.reset();
  }

  // A daemon: finds what is there, launches, tells which launches it was told of; until it is
  // killed.
  [[noreturn]] void RunDaemon(int round, int told) {
    Connect();
    if (HasFatalFailure() || client_->EnumerateContainers()->empty()) _exit(1);
    for (int i = 0;; ++i) {
      const std::string id = "c" + std::to_string(round) + "-" + std::to_string(i);
      const auto argv =
          Workload({"repeat", id, std::to_string(kLines), std::to_string(CodeOf(id))});
      if (!Start(id, argv).ok()) _exit(2);
      const std::string line = id + "\n";
      if (write(told, line.data(), line.size()) < 0) _exit(3);
      if (i == 20) pause();
    }
  }
};

TEST_F(DaemonKillTest, NextDaemonFindsEverything) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd told_read(ends[0]), told_write(ends[1]);
  std::minstd_rand random(4);
  for (int round = 0; round < kKills; ++round) {
    const pid_t daemon = fork();
    if (daemon == 0) RunDaemon(round, told_write.get());
    usleep(static_cast<useconds_t>(2000 + random() % 40000));
    kill(daemon, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(daemon, &status, 0), daemon);
    ASSERT_TRUE(WIFSIGNALED(status)) << "daemon ended by itself: " << WEXITSTATUS(status);
  }
  told_write.Reset();
  std::set<std::string> told;
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(told_read.get(), buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    told.insert(text.substr(at, end - at));
  Connect();
  const auto containers = client_->EnumerateContainers();
  ASSERT_TRUE(containers.ok());
  std::set<std::string> found;
  for (const HeldContainer& container : *containers) found.insert(container.id);
  for (const std::string& id : told) EXPECT_TRUE(found.count(id)) << id;
  EXPECT_GT(told.size(), 20u);
  printf("%d kills, %zu launches told, %zu found\n", kKills, told.size(), found.size() - 1);
  for (const std::string& id : found) {
    if (id == "base") continue;
    EXPECT_EQ(sys::ExitCodeOf(exits_.Wait(id, 60)), CodeOf(id)) << id;
    EXPECT_TRUE(client_->FlushLog(id, 20000).ok());
    std::string want;
    for (int i = 0; i < kLines; ++i) want += id + "\n";
    EXPECT_TRUE(Replay(ParseLog(Log(id)), "stdout") == want) << id;
  }
  EXPECT_TRUE(client_->Signal("base", SIGKILL).ok());
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("base")), 137);
  EXPECT_TRUE(client_->FlushLog("base", 10000).ok());
  for (const LogRecord& record : ParseLog(Log("base"))) ASSERT_EQ(record.text, "tick");
}

}  // namespace
}  // namespace crisp::keeper
