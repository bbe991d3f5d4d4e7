#include "runtime/cgroup/kill.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/match.h"
#include "runtime/base/files.h"
#include "runtime/base/stages.h"
#include "runtime/cgroup/path.h"
#include "runtime/cgroup/subtree.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

class Deadline {
 public:
  explicit Deadline(int timeout_ms) : end_(MonotonicNanos() + int64_t{timeout_ms} * 1000000) {}
  // Rounded up, so that a poll with it never ends before the deadline.
  int RemainingMs() const {
    const int64_t left = end_ - MonotonicNanos();
    return left <= 0 ? 0 : static_cast<int>((left + 999999) / 1000000);
  }

 private:
  int64_t end_;
};

Status TimedOut(const std::string& path, size_t left) {
  return absl::DeadlineExceededError(
      absl::StrCat("kill cgroup ", path, ": ", left, " processes are still there"));
}

// A process that the v1 freezer holds does not die before it is thawed.
Status SetFreezer(const HostState& state, const std::string& path, const char* text) {
  const Hierarchy* h = state.ForController("freezer");
  if (!h) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> directories, Subtree(*h, path));
  for (const std::string& directory : directories) {
    const Status status = WriteControlFile(h->root.get(), Below(directory, "freezer.state"), text);
    if (!status.ok() && ErrnoOf(status) != ENOENT && ErrnoOf(status) != ENODEV) return status;
  }
  return absl::OkStatus();
}

// Waits for the event that the kernel raises on cgroup.events when the last process is gone.
Status WaitUnpopulated(const Hierarchy& v2, const std::string& path, const Deadline& deadline) {
  UniqueFd events(
      openat(v2.root.get(), Below(path, "cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  if (!events.valid()) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "open cgroup.events of ", path);
  }
  for (;;) {
    char text[256];
    // Read first: poll reports changes since the last read.
    const ssize_t n = sys::Retry([&] { return pread(events.get(), text, sizeof(text), 0); });
    if (n < 0 && errno == ENODEV) return absl::OkStatus();  // removed meanwhile
    if (n < 0) return ErrnoStatus(errno, "read cgroup.events of ", path);
    const absl::string_view seen(text, static_cast<size_t>(n));
    if (!absl::StrContains(seen, "populated 1")) return absl::OkStatus();
    const int wait = deadline.RemainingMs();
    pollfd event{.fd = events.get(), .events = POLLPRI};
    if (wait == 0 || sys::Retry([&] { return poll(&event, 1, wait); }) == 0) {
      const auto left = PidsOf(v2, path);
      return TimedOut(path, left.ok() ? left->size() : 0);
    }
  }
}

Status KillByFile(const HostState& state, const std::string& path, const Deadline& deadline) {
  const Status status = WriteControlFile(state.v2->root.get(), Below(path, "cgroup.kill"), "1");
  if (ErrnoOf(status) == ENOENT) return absl::OkStatus();
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(SetFreezer(state, path, "THAWED"));
  return WaitUnpopulated(*state.v2, path, deadline);
}

// Without a v1 freezer (pure v2 whose cgroup.kill is missing or switched off).
Status SetFrozen(const HostState& state, const std::string& path, bool frozen) {
  if (state.ForController("freezer")) {
    return SetFreezer(state, path, frozen ? "FROZEN" : "THAWED");
  }
  if (!state.v2) return absl::OkStatus();
  const Status status =
      WriteControlFile(state.v2->root.get(), Below(path, "cgroup.freeze"), frozen ? "1" : "0");
  return ErrnoOf(status) == ENOENT ? absl::OkStatus() : status;
}

// v2 as well as v1: a launch in flight is cloned into the v2 directory and joins the v1 ones later.
StatusOr<std::vector<pid_t>> Members(const HostState& state, const std::string& path) {
  std::vector<pid_t> all;
  for (const Hierarchy* h : {state.tracking, state.v2}) {
    if (!h) continue;
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, PidsOf(*h, path));
    all.insert(all.end(), pids.begin(), pids.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

struct Killed {
  std::set<pid_t> pids;
  std::vector<UniqueFd> pidfds;  // to wait on, not more than one poll needs
};

Status SignalOne(const std::string& path, pid_t pid, UniqueFd pidfd, Killed* killed) {
  constexpr size_t kMaxWaited = 256;
  if (sys::PidfdSendSignal(pidfd.get(), SIGKILL) != 0 && errno != ESRCH) {
    return ErrnoStatus(errno, "kill process ", pid, " of cgroup ", path);
  }
  killed->pids.insert(pid);
  if (killed->pidfds.size() < kMaxWaited) killed->pidfds.push_back(std::move(pidfd));
  return absl::OkStatus();
}

// One pass over the members. True when it met nobody new.
StatusOr<bool> SignalAll(const HostState& state, const std::string& path, Killed* killed) {
  constexpr size_t kBatch = 256;  // pidfds open at once
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, Members(state, path));
  std::vector<pid_t> fresh;
  for (const pid_t pid : pids) {
    // 0: a process of another pid namespace, which cannot be opened.
    if (pid != 0 && !killed->pids.count(pid)) fresh.push_back(pid);
  }
  std::vector<std::pair<pid_t, UniqueFd>> open;
  for (size_t i = 0; i < fresh.size(); i += kBatch) {
    open.clear();
    for (size_t k = i; k < std::min(i + kBatch, fresh.size()); ++k) {
      UniqueFd pidfd(sys::PidfdOpen(fresh[k]));
      if (pidfd.valid()) open.emplace_back(fresh[k], std::move(pidfd));
    }
    // Listed again after the open: else the number may belong to a process outside by now.
    ASSIGN_OR_RETURN(const std::vector<pid_t> again, Members(state, path));
    for (auto& [pid, pidfd] : open) {
      if (!std::binary_search(again.begin(), again.end(), pid)) continue;
      RETURN_IF_ERROR(SignalOne(path, pid, std::move(pidfd), killed));
    }
  }
  return fresh.empty();
}

// Passes until nobody new is met: a task that was not stopped yet may have forked meanwhile, but
// with a signal pending it cannot fork again, and its child is born frozen.
Status SignalFrozen(const HostState& state, const std::string& path, const Deadline& deadline,
                    Killed* killed) {
  bool complete = false;
  do {  // once also with no time at all: who only wants the signals sent does not wait
    ASSIGN_OR_RETURN(complete, SignalAll(state, path, killed));
  } while (!complete && deadline.RemainingMs() > 0);
  return absl::OkStatus();
}

Status WaitExits(const std::vector<UniqueFd>& pidfds, const std::string& path,
                 const Deadline& deadline) {
  std::vector<pollfd> events;
  for (const UniqueFd& pidfd : pidfds) events.push_back({.fd = pidfd.get(), .events = POLLIN});
  size_t left = events.size();
  while (left > 0) {
    const int wait = deadline.RemainingMs();
    if (wait == 0) return TimedOut(path, left);
    sys::Retry([&] { return poll(events.data(), events.size(), wait); });
    for (pollfd& event : events) {
      if (event.fd < 0 || event.revents == 0) continue;
      event.fd = -1;  // poll skips it from now on
      --left;
    }
  }
  return absl::OkStatus();
}

// Frozen, nobody can fork away from the list.
Status KillByFreezer(const HostState& state, const std::string& path, const Deadline& deadline) {
  for (;;) {
    Killed killed;
    RETURN_IF_ERROR(SetFrozen(state, path, true));
    const Status signalled = SignalFrozen(state, path, deadline, &killed);
    RETURN_IF_ERROR(SetFrozen(state, path, false));
    RETURN_IF_ERROR(signalled);
    RETURN_IF_ERROR(WaitExits(killed.pidfds, path, deadline));
    ASSIGN_OR_RETURN(const std::vector<pid_t> left, Members(state, path));
    if (left.empty()) return absl::OkStatus();
    if (left.front() == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "kill cgroup ", path, ": has processes that this pid namespace does not show"));
    }
    if (deadline.RemainingMs() == 0) return TimedOut(path, left.size());
  }
}

bool Exists(const Hierarchy& h, const std::string& path) {
  return faccessat(h.root.get(), Below(path, "").c_str(), F_OK, 0) == 0;
}

}  // namespace

Status KillCgroup(const HostState& state, const std::string& path, int timeout_ms) {
  const Deadline deadline(timeout_ms);
  if (state.kill_file && Exists(*state.v2, path)) return KillByFile(state, path, deadline);
  return KillByFreezer(state, path, deadline);
}

}  // namespace crisp::runtime
