// Who may launch now. The keeper has a few launchers and starts more when all hang; here a launch
// waits for one, within its own deadline.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <string>

#include "runtime/base/status.h"

namespace crisp::keeper {

// A launch that takes longer than `slow` hangs in something foreign (a dead mount, a frozen cgroup,
// a process that somebody in the container stops or traces). It does not count among the `young`
// that run at once, so that it delays no other; and whose launch hangs gets no more than `hanging`,
// so that one container cannot hang all that the keeper can start.
class LaunchGate {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    size_t young = 4;
    size_t hanging = 2;  // of one container
    std::chrono::milliseconds slow{100};
  };
  LaunchGate() : LaunchGate(Limits()) {}
  explicit LaunchGate(const Limits& limits) : limits_(limits) {}

  // How many launches the keeper takes at once.
  void SetCapacity(size_t launchers);

  struct Launch {
    std::string container;
    Clock::time_point begin;
  };
  using Ticket = std::list<Launch>::iterator;
  StatusOr<Ticket> Enter(const std::string& container, Clock::time_point deadline);
  void Leave(Ticket ticket);

 private:
  bool MayEnter(const std::string& container, Clock::time_point now,
                Clock::time_point* again) const;

  const Limits limits_;
  std::mutex mu_;
  std::condition_variable changed_;
  size_t capacity_ = 1;
  std::list<Launch> launches_;  // oldest first
};

}  // namespace crisp::keeper
