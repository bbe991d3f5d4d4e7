// The log pump killed at any instruction. Each round a chunk arrives, and a pump that knows nothing
// but the slot table and the descriptors takes over, to be killed after a random number of
// instructions after a random system call, so that every state in between is met. At the end the
// log must be exactly what was written: no byte lost, none twice, no torn line.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "runtime/base/files.h"
#include "runtime/keeper/log_pump.h"
#include "runtime/keeper/slot_table.h"
#include "tests/kernel/keeper/keeper_fixture.h"
#include "tests/kernel/keeper/pattern.h"

namespace crisp::keeper {
namespace {

constexpr int kTrials = 200;
constexpr int kRounds = 6;

// What daemon and keeper both hold.
struct Container {
  UniqueFd read_end[2], write_end[2], stage[2], log;
  Slot* slot = nullptr;
};

void Make(Slot& slot, Container* container) {
  for (int stream = 0; stream < 2; ++stream) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    container->read_end[stream].Reset(ends[0]);
    container->write_end[stream].Reset(ends[1]);
    container->stage[stream].Reset(memfd_create("stage", MFD_CLOEXEC));
  }
  container->log.Reset(memfd_create("log", MFD_CLOEXEC));
  ClearSlot(slot);
  slot.kind = Kind::kContainer;
  slot.max_line = 300;
  slot.generation.store(0);
  slot.log_offset[0].store(0);
  slot.batch.phase.store(BatchPhase::kNone);
  slot.limit = {};
  for (StreamState& stream : slot.stream) {
    stream.processed.store(0);
    stream.eof.store(0);
  }
  container->slot = &slot;
}

// A keeper's life: takes over, pumps until nothing is left now.
void RunPump(const Container& container, bool to_the_end) {
  Held held{};
  const auto copy = [](const UniqueFd& fd) { return fcntl(fd.get(), F_DUPFD_CLOEXEC, 3); };
  held.Set(kRoleStdout, copy(container.read_end[0]));
  held.Set(kRoleStderr, copy(container.read_end[1]));
  held.Set(kRoleStage0, copy(container.stage[0]));
  held.Set(kRoleStage1, copy(container.stage[1]));
  held.Set(kRoleLog, copy(container.log));
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  LogPump pump;
  pump.Init(epoll.get());
  pump.Start(0, *container.slot, held);
  pump.Drain(*container.slot, held);
  EXPECT_EQ(LogsEnded(*container.slot), to_the_end);
  for (uint32_t role = 0; role < kRoleCount; ++role) held.Close(role);
}

// Runs a pump in a process of its own and kills it after `calls` entries to or returns from system
// calls and then `steps` instructions: all states of the slot lie between two system calls. True:
// it was killed.
bool KillPumpAfter(const Container& container, long calls, long steps) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    RunPump(container, false);
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSTOPPED(status));
  for (long i = 0; i < calls + steps; ++i) {
    ptrace(i < calls ? PTRACE_SYSCALL : PTRACE_SINGLESTEP, child, nullptr, nullptr);
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) return false;
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return true;
}

std::string ContentOf(int file) {
  std::string content(static_cast<size_t>(lseek(file, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(file, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  return content;
}

// How many stops one run makes.
long StopsOfOneRun(Slot& slot) {
  Container container;
  Make(slot, &container);
  EXPECT_EQ(write(container.write_end[0].get(), "a line\n", 7), 7);
  long stops = 10;
  while (KillPumpAfter(container, stops, 0)) ++stops;
  return stops;
}

TEST(PumpKillTest, AnyInstruction) {
  const UniqueFd table_fd(CreateTable());
  SlotTable* table = nullptr;
  ASSERT_EQ(MapTable(table_fd.get(), &table), 0);
  Slot& slot = table->slot[0];
  const long most = StopsOfOneRun(slot) * 3 / 2;
  std::minstd_rand random(23);
  int killed = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    Container container;
    Make(slot, &container);
    std::string sent[2], seen_before;
    for (int round = 0; round < kRounds; ++round) {
      for (int stream = 0; stream < 2; ++stream) {
        // Sometimes whole lines, so that the staging is reset; mostly not.
        std::string chunk = PatternBytes(static_cast<uint32_t>(random()), random() % 700);
        if (random() % 3 == 0) chunk += "\n";
        sent[stream] += chunk;
        ASSERT_EQ(write(container.write_end[stream].get(), chunk.data(), chunk.size()),
                  static_cast<ssize_t>(chunk.size()));
      }
      const auto calls = static_cast<long>(random() % static_cast<uint32_t>(most));
      // At a system call, just after it, or on the way to the next.
      const long steps[] = {0, static_cast<long>(random() % 40), static_cast<long>(random() % 300)};
      killed += KillPumpAfter(container, calls, steps[random() % 3]);
      // What a reader has seen stays as it is, time stamps included.
      const std::string seen = ContentOf(container.log.get());
      ASSERT_TRUE(absl::StartsWith(seen, seen_before));
      seen_before = seen;
    }
    container.write_end[0].Reset();
    container.write_end[1].Reset();
    RunPump(container, true);
    const std::string log = ContentOf(container.log.get());
    ASSERT_TRUE(absl::StartsWith(log, seen_before));
    const auto records = ParseLog(log);
    ASSERT_TRUE(Replay(records, "stdout") == sent[0]) << "trial " << trial;
    ASSERT_TRUE(Replay(records, "stderr") == sent[1]) << "trial " << trial;
    EXPECT_EQ(slot.lost_bytes, 0u);
  }
  printf("%d pumps killed within %ld stops\n", killed, most);
  EXPECT_GT(killed, kTrials);
  UnmapTable(table);
}

// The log without the lines that stand for dropped output, and how many those are.
std::string WithoutMarks(const std::string& log, int* marks) {
  std::string rest;
  for (size_t begin = 0; begin < log.size();) {
    const size_t end = log.find('\n', begin) + 1;
    const std::string line = log.substr(begin, end - begin);
    const bool mark = absl::StrContains(line, " F [crisp] output is dropped: ");
    *marks += mark ? 1 : 0;
    if (!mark) rest += line;
    begin = end;
  }
  return rest;
}

// With a limited log file: what is in the log and what is counted as dropped is together exactly
// what was written, and one line tells of it, whenever the pump dies.
TEST(PumpKillTest, AnyInstructionOfALimitedLog) {
  constexpr uint64_t kLimit = 3000;
  const UniqueFd table_fd(CreateTable());
  SlotTable* table = nullptr;
  ASSERT_EQ(MapTable(table_fd.get(), &table), 0);
  Slot& slot = table->slot[0];
  const long most = StopsOfOneRun(slot) * 3 / 2;
  std::minstd_rand random(42);
  int dropped = 0, killed = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    Container container;
    Make(slot, &container);
    slot.limit.file_bytes = kLimit;
    size_t sent = 0;
    std::string seen_before;
    for (int round = 0; round < kRounds; ++round) {
      const std::string chunk = PatternBytes(static_cast<uint32_t>(random()), random() % 1400);
      sent += chunk.size();
      ASSERT_EQ(write(container.write_end[0].get(), chunk.data(), chunk.size()),
                static_cast<ssize_t>(chunk.size()));
      killed += KillPumpAfter(container, static_cast<long>(random() % static_cast<uint32_t>(most)),
                              static_cast<long>(random() % 300));
      const std::string seen = ContentOf(container.log.get());
      ASSERT_TRUE(absl::StartsWith(seen, seen_before));
      seen_before = seen;
    }
    container.write_end[0].Reset();
    container.write_end[1].Reset();
    RunPump(container, true);
    const std::string log = ContentOf(container.log.get());
    ASSERT_TRUE(absl::StartsWith(log, seen_before));
    int marks = 0;
    const std::string rest = WithoutMarks(log, &marks);
    EXPECT_LE(rest.size(), kLimit);
    EXPECT_EQ(Replay(ParseLog(rest), "stdout").size() + slot.limit.dropped_bytes, sent)
        << "trial " << trial;
    // A smaller batch may fit again behind a dropped one: then there is a second stretch.
    EXPECT_EQ(marks > 0, slot.limit.dropped_bytes > 0) << "trial " << trial;
    dropped += marks > 0 ? 1 : 0;
  }
  printf("%d pumps killed, %d of %d logs were full\n", killed, dropped, kTrials);
  EXPECT_GT(dropped, kTrials / 4);
  UnmapTable(table);
}

}  // namespace
}  // namespace crisp::keeper
