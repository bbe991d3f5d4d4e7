// The keeper's own memory, with 100 containers that have written and are running.
#include <signal.h>
#include <unistd.h>

#include <sstream>

#include "runtime/base/files.h"
#include "tests/kernel/keeper/keeper_fixture.h"

namespace crisp::keeper {
namespace {

constexpr int kContainers = 100;
constexpr long kMostKb = 1024;
constexpr long kBuffersKb = 64;  // at least

long Field(pid_t pid, const std::string& name) {
  std::istringstream text(*ReadFile("/proc/" + std::to_string(pid) + "/smaps_rollup"));
  for (std::string line; std::getline(text, line);)
    if (line.rfind(name + ":", 0) == 0) return atol(line.c_str() + name.size() + 1);
  return -1;
}

class MemoryTest : public KeeperTest {};

TEST_F(MemoryTest, LessThanAMegabyteForAHundredContainers) {
  const size_t fds = CountFds(client_->keeper_pid());
  for (int i = 0; i < kContainers; ++i) {
    const std::string id = "c" + std::to_string(i);
    ASSERT_TRUE(
        Start(id, {"/bin/sh", "-c", "head -c 100000 /dev/zero; echo; exec sleep 100"}).ok());
    ASSERT_TRUE(client_->FlushLog(id, 1000).ok());
  }
  const pid_t keeper = client_->keeper_pid();
  // It gives its buffers (128 KiB) back when it has been quiet for a second.
  const long busy = Field(keeper, "Rss");
  for (int i = 0; i < 100 && Field(keeper, "Rss") > busy - kBuffersKb; ++i) usleep(100000);
  const long rss = Field(keeper, "Rss"), pss = Field(keeper, "Pss");
  const long dirty = Field(keeper, "Private_Dirty");
  printf(
      "keeper with %d containers: Rss %ld kB at rest (%ld kB busy), Pss %ld, private dirty %ld\n",
      kContainers, rss, busy, pss, dirty);
  RecordProperty("rss_kb", static_cast<int>(rss));
  EXPECT_GT(rss, 0);
  EXPECT_LT(rss, kMostKb);
  for (int i = 0; i < kContainers; ++i) {
    const std::string id = "c" + std::to_string(i);
    EXPECT_TRUE(client_->Signal(id, SIGKILL).ok());
    exits_.Wait(id);
    client_->Drop(id);
  }
  ASSERT_TRUE(client_->HoldPod("p", {}).ok());  // a round trip: the drops are done
  EXPECT_EQ(CountFds(keeper), fds) << "the keeper leaks descriptors";
}

}  // namespace
}  // namespace crisp::keeper
