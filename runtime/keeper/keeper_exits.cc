// Exits: of our children by waitid, of a former keeper's children by what the kernel keeps.
#include <string.h>
#include <sys/wait.h>

#include <cerrno>

#include "runtime/keeper/keeper.h"
#include "runtime/keeper/pidfd_proc.h"
#include "runtime/keeper/tokens.h"
#include "runtime/sys/clone.h"

namespace crisp::keeper {
namespace {

constexpr int64_t kResolveNanos = 2000000000;

int WaitStatusOf(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return (info.si_status & 0xff) << 8;
  return (info.si_status & 0x7f) | (info.si_code == CLD_DUMPED ? 0x80 : 0);
}

}  // namespace

void Keeper::WatchExit(uint32_t index) {
  Watch(held_[index].Get(kRolePidfd), Token(Source::kPidfd, index));
}

void Keeper::OnPidfd(uint32_t index) {
  if (slot(index).state.load() != SlotState::kRunning) return;
  const int pidfd = held_[index].Get(kRolePidfd);
  siginfo_t info{};
  // Looked at, recorded, and only then reaped: a keeper that dies in between loses nothing.
  const auto id = static_cast<id_t>(pidfd);
  constexpr int kOptions = WEXITED | WNOHANG | __WALL;
  if (waitid(P_PIDFD, id, &info, kOptions | WNOWAIT) == 0) {
    if (info.si_pid == 0) return;
    NoteExit(index, WaitStatusOf(info));
    waitid(P_PIDFD, id, &info, kOptions);
    return;
  }
  // Not our child: a former keeper's. Out of the epoll, or it would report it all the time.
  Unwatch(pidfd);
  if (ResolveForeign(index)) return;
  if (held_[index].resolve_deadline == 0) ++unresolved_;
  held_[index].resolve_deadline = MonotonicNanos() + kResolveNanos;
}

// While it is a zombie, /proc has its status; after init has reaped it, the pidfd has
// (kernel 6.15). Between the two looks it may be reaped, hence the pidfd first and last.
bool Keeper::ResolveForeign(uint32_t index) {
  const int pidfd = held_[index].Get(kRolePidfd);
  const pid_t pid = slot(index).pid;
  int status = 0;
  const auto from_pidfd = [&] {
    return settings_.exit_info && sys::PidfdExitStatus(pidfd, &status) == 0;
  };
  bool known = from_pidfd();
  if (!known)  // the number is still this process's if the pidfd says so afterwards
    known = ZombieStatus(pid, &status) == 0 && PidOfPidfd(0, pidfd) == pid;
  if (!known) known = from_pidfd();
  if (known) NoteExit(index, status);
  return known;
}

// The call that launched an exec polls the pidfd, and has the status from it once we have reaped:
// an event would only wake the daemon twice while that call wants the CPU. (Execs of a daemon that
// died are dropped by the next one as it connects.)
bool Keeper::CallerSees(uint32_t index) const {
  return settings_.exit_info && table_->slot[index].kind == Kind::kExec;
}

void Keeper::NoteExit(uint32_t index, int wait_status) {
  Slot& target = slot(index);
  Unwatch(held_[index].Get(kRolePidfd));
  // What it wrote before it ended is in its log before its end is told.
  if (target.kind == Kind::kContainer) pump_.Drain(target, held_[index]);
  target.wait_status = wait_status;
  target.exited_nanos = WallNanos();
  target.state.store(SlotState::kExited, std::memory_order_release);
  if (!CallerSees(index)) SendEvent(ReplyType::kExited, index);
  NoteDrained(index);
}

void Keeper::ResolvePending() {
  const int64_t now = MonotonicNanos();
  for (uint32_t i = 0; i < high_water(); ++i) {
    if (held_[i].resolve_deadline == 0) continue;
    const bool over = now >= held_[i].resolve_deadline;
    if (!ResolveForeign(i) && !over) continue;
    if (slot(i).state.load() == SlotState::kRunning) NoteExit(i, kUnknownWaitStatus);
    held_[i].resolve_deadline = 0;
    --unresolved_;
  }
}

// Children of no slot: stubs of execs, processes of dropped slots. While a launch is under way its
// launcher may be waiting for a child of its own: not now.
void Keeper::ReapStrangers() {
  if (!reap_wanted_ || launchers_.busy() > 0) return;
  reap_wanted_ = false;
  siginfo_t info{};
  while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && info.si_pid != 0) {
    uint32_t index = 0;
    if (SlotOfChild(info.si_pid, &index)) {
      OnPidfd(index);
    } else {
      const auto id = static_cast<id_t>(info.si_pid);
      if (waitid(P_PID, id, &info, WEXITED | WNOHANG | __WALL) != 0) return;
    }
    info = siginfo_t{};
  }
}

bool Keeper::SlotOfChild(pid_t pid, uint32_t* index) const {
  for (uint32_t i = 0; i < high_water(); ++i) {
    if (table_->slot[i].state.load() != SlotState::kRunning || table_->slot[i].pid != pid) continue;
    *index = i;
    return true;
  }
  return false;
}

}  // namespace crisp::keeper
