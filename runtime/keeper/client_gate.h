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
//
// One whose process cannot even be killed (D state) is given up at its deadline, and its launcher
// is lost until the kernel lets go. It is remembered here: a pod with a dead file system, whose
// probes and restarts come again and again, must not take one launcher after the other.
class LaunchGate {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    size_t young = 4;
    size_t hanging = 2;  // of one container
    size_t lost = 4;     // of one pod
    std::chrono::milliseconds slow{100};
  };
  LaunchGate() : LaunchGate(Limits()) {}
  explicit LaunchGate(const Limits& limits) : limits_(limits) {}

  // How many launches the keeper takes at once.
  void SetCapacity(size_t launchers);

  struct Launch {
    std::string container, pod;
    Clock::time_point begin;
    bool lost = false;
  };
  using Ticket = std::list<Launch>::iterator;
  // RESOURCE_EXHAUSTED at once where too many are lost. `pod` may be "".
  StatusOr<Ticket> Enter(const std::string& container, const std::string& pod,
                         Clock::time_point deadline);
  void Leave(Ticket ticket);
  // Instead, when it was given up: it counts until Leave.
  void Lose(Ticket ticket);

 private:
  bool MayEnter(const std::string& container, Clock::time_point now,
                Clock::time_point* again) const;
  Status CheckLost(const std::string& container, const std::string& pod) const;

  const Limits limits_;
  std::mutex mu_;
  std::condition_variable changed_;
  size_t capacity_ = 1;
  std::list<Launch> launches_;  // oldest first
};

}  // namespace crisp::keeper
