#include "runtime/keeper/client_gate.h"

#include <algorithm>

namespace crisp::keeper {

void LaunchGate::SetCapacity(size_t launchers) {
  std::lock_guard lock(mu_);
  capacity_ = std::max<size_t>(launchers, 1);
  changed_.notify_all();
}

// Time alone can open the gate as well, when a young launch becomes a slow one: at `again`.
bool LaunchGate::MayEnter(const std::string& container, Clock::time_point now,
                          Clock::time_point* again) const {
  *again = Clock::time_point::max();
  size_t young = 0, mine = 0, lost = 0;
  bool mine_hangs = false;
  for (const Launch& launch : launches_) {
    const Clock::time_point slow = launch.begin + limits_.slow;
    const bool is_mine = launch.container == container;
    mine += is_mine;
    lost += launch.lost;
    if (slow <= now || launch.lost) {
      mine_hangs = mine_hangs || is_mine;
      continue;
    }
    if (young++ == 0) *again = slow;
  }
  return launches_.size() - lost < capacity_ && young < limits_.young &&
         !(mine_hangs && mine >= limits_.hanging);
}

Status LaunchGate::CheckLost(const std::string& container, const std::string& pod) const {
  size_t of_container = 0, of_pod = 0;
  for (const Launch& launch : launches_) {
    if (!launch.lost) continue;
    of_container += launch.container == container;
    of_pod += !pod.empty() && launch.pod == pod;
  }
  if (of_container < limits_.hanging && of_pod < limits_.lost) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("launch: ", std::max(of_container, of_pod),
                   " earlier launches of this container or pod hang in the kernel and cannot be "
                   "killed (a network or FUSE file system whose server is gone?)"));
}

StatusOr<LaunchGate::Ticket> LaunchGate::Enter(const std::string& container, const std::string& pod,
                                               Clock::time_point deadline) {
  std::unique_lock lock(mu_);
  for (;;) {
    RETURN_IF_ERROR(CheckLost(container, pod));
    const Clock::time_point now = Clock::now();
    Clock::time_point again;
    if (MayEnter(container, now, &again)) {
      return launches_.insert(launches_.end(), Launch{container, pod, now});
    }
    if (now >= deadline) {
      return absl::DeadlineExceededError("launch: no launcher was free before the deadline");
    }
    changed_.wait_until(lock, std::min(deadline, again));
  }
}

void LaunchGate::Lose(Ticket ticket) {
  std::lock_guard lock(mu_);
  ticket->lost = true;
  changed_.notify_all();
}

void LaunchGate::Leave(Ticket ticket) {
  std::lock_guard lock(mu_);
  launches_.erase(ticket);
  // All: whom this one held up may be none of the first in line.
  changed_.notify_all();
}

}  // namespace crisp::keeper
