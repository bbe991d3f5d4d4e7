#include "runtime/keeper/client_gate.h"

#include <gtest/gtest.h>

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
  const auto first = gate.Enter("a", Late());
  const auto second = gate.Enter("b", Late());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("c", Soon()).status()));
  std::thread waiting([&] {
    const auto third = gate.Enter("c", Late());
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
    const auto ticket = gate.Enter(container, Late());
    ASSERT_TRUE(ticket.ok());
    tickets.push_back(*ticket);
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("d", Soon()).status()));
  gate.Leave(tickets[1]);
  EXPECT_TRUE(gate.Enter("d", Late()).ok());
}

TEST(LaunchGate, AContainerWhoseLaunchesHangGetsNoMore) {
  LaunchGate gate(kSlowAtOnce);
  gate.SetCapacity(12);
  const auto first = gate.Enter("a", Late());
  ASSERT_TRUE(first.ok() && gate.Enter("a", Late()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate.Enter("a", Soon()).status()));
  EXPECT_TRUE(gate.Enter("b", Late()).ok());
  gate.Leave(*first);
  EXPECT_TRUE(gate.Enter("a", Late()).ok());
}

TEST(LaunchGate, BecomingSlowOpensIt) {
  LaunchGate gate({.young = 1, .hanging = 2, .slow = milliseconds(20)});
  gate.SetCapacity(12);
  ASSERT_TRUE(gate.Enter("a", Late()).ok());
  EXPECT_TRUE(gate.Enter("b", Late()).ok());
}

}  // namespace
}  // namespace crisp::keeper
