#include "runtime/keeper/client_gate.h"

#include <gtest/gtest.h>

#include <vector>

#include <thread>

namespace crisp::keeper {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

LaunchGate::Clock::time_point Soon() { return LaunchGate::Clock::now() + milliseconds(1); }
LaunchGate::Clock::time_point Late() { return LaunchGate::Clock::now() + hours(1); }

// Nothing becomes slow here, or everything at once: no test waits for a time to pass.
constexpr LaunchGate::Limits kNeverSlow{.young = 2, .hanging = 2, .slow = hours(1)};
constexpr LaunchGate::Limits kSlowAtOnce{.young = 2, .hanging = 2, .slow = milliseconds(0)};

TEST(LaunchGate, AsManyYoungOnesAtOnce) {
  LaunchGate gate(kNeverSlow);
  gate.SetCapacity(12);
  const auto first = gate.Enter("a", "", Late());
  const auto second = gate.Enter("b", "", Late());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("c", "", Soon()).status()));
  std::thread waiting([&] {
    const auto third = gate.Enter("c", "", Late());
    ASSERT_TRUE(third.ok());
    gate.Leave(*third);
  });
  gate.Leave(*first);
  waiting.join();
  gate.Leave(*second);
}

TEST(LaunchGate, SlowOnesDoNotCountUpToTheKeepersLimit) {
  LaunchGate gate(kSlowAtOnce);
  gate.SetCapacity(3);
  std::vector<LaunchGate::Ticket> tickets;
  for (const char* container : {"a", "b", "c"}) {
    const auto ticket = gate.Enter(container, "", Late());
    ASSERT_TRUE(ticket.ok());
    tickets.push_back(*ticket);
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("d", "", Soon()).status()));
  gate.Leave(tickets[1]);
  EXPECT_TRUE(gate.Enter("d", "", Late()).ok());
}

TEST(LaunchGate, AContainerWhoseLaunchesHangGetsNoMore) {
  LaunchGate gate(kSlowAtOnce);
  gate.SetCapacity(12);
  const auto first = gate.Enter("a", "", Late());
  ASSERT_TRUE(first.ok() && gate.Enter("a", "", Late()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("a", "", Soon()).status()));
  EXPECT_TRUE(gate.Enter("b", "", Late()).ok());
  gate.Leave(*first);
  EXPECT_TRUE(gate.Enter("a", "", Late()).ok());
}

TEST(LaunchGate, BecomingSlowOpensIt) {
  LaunchGate gate({.young = 1, .hanging = 2, .slow = milliseconds(20)});
  gate.SetCapacity(12);
  ASSERT_TRUE(gate.Enter("a", "", Late()).ok());
  EXPECT_TRUE(gate.Enter("b", "", Late()).ok());
}

TEST(LaunchGate, LostOnesHoldUpTheirOwnAlone) {
  LaunchGate gate({.young = 2, .hanging = 2, .lost = 3, .slow = hours(1)});
  gate.SetCapacity(2);
  std::vector<LaunchGate::Ticket> lost;
  for (const char* container : {"a", "a", "b"}) {
    const auto ticket = gate.Enter(container, "pod", Soon());
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    gate.Leave(*gate.Enter("other", "", Soon()));
    lost.push_back(*ticket);
    gate.Lose(*ticket);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(gate.Enter("a", "", Soon()).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(gate.Enter("c", "pod", Soon()).status()));
  EXPECT_TRUE(gate.Enter("c", "", Soon()).ok());  // no pod: its own limit alone
  gate.Leave(lost[0]);
  EXPECT_TRUE(gate.Enter("a", "pod", Soon()).ok());
}

TEST(LaunchGate, LostOnesTakeNoCapacity) {
  LaunchGate gate({.young = 1, .hanging = 2, .slow = milliseconds(0)});
  gate.SetCapacity(1);
  for (const char* container : {"a", "b", "c"}) {
    const auto ticket = gate.Enter(container, container, Soon());
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    gate.Lose(*ticket);
  }
  ASSERT_TRUE(gate.Enter("d", "d", Soon()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("e", "e", Soon()).status()));
}

}  // namespace
}  // namespace crisp::keeper
