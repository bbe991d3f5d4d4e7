#include "runtime/keeper/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/tokens.h"

namespace crisp::keeper {
namespace {

constexpr int kEvents = 32;
constexpr int kLogRounds = 8;  // streams per turn, so that a launch or an exit never waits long
constexpr int kResolveTickMs = 20;
constexpr int kRestMs = 1000;

int64_t Nanos(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

int64_t MonotonicNanos() { return Nanos(CLOCK_MONOTONIC); }
int64_t WallNanos() { return Nanos(CLOCK_REALTIME); }

int Keeper::Init(int listener, Held* held, const LaunchFunctions& functions,
                 const KeeperSettings& settings) {
  functions_ = &functions;
  settings_ = settings;
  listener_ = listener;
  held_ = held;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  log_epoll_ = epoll_create1(EPOLL_CLOEXEC);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  signals_ = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (epoll_ < 0 || log_epoll_ < 0 || signals_ < 0 || spare_ < 0) return errno;
  if (const int err = pump_.Init(log_epoll_)) return err;
  LogPump::HideFromForks();
  if (const int err = launchers_.Init(functions, epoll_, Token(Source::kLauncher, 0))) return err;
  if (const int err = Watch(listener_, Token(Source::kListener, 0))) return err;
  if (const int err = Watch(signals_, Token(Source::kSignals, 0))) return err;
  return Watch(log_epoll_, Token(Source::kLogs, 0));
}

int Keeper::Watch(int fd, uint64_t token) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void Keeper::Unwatch(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

int Keeper::Run() {
  while (!Idle()) {
    epoll_event events[kEvents];
    const int count = epoll_wait(epoll_, events, kEvents, TimeoutMs());
    if (count < 0 && errno != EINTR) return errno;
    if (count == 0 && !pump_.rested()) pump_.Rest();
    for (int i = 0; i < count; ++i) OnEvent(events[i].data.u64, events[i].events);
    OnTimers();
    ReapStrangers();
  }
  return 0;
}

void Keeper::OnEvent(uint64_t token, uint32_t events) {
  const uint32_t index = IndexOf(token);
  switch (SourceOf(token)) {
    case Source::kListener:
      return OnConnect();
    case Source::kClient:
      return OnClient(events);
    case Source::kLauncher:
      return OnLauncher(index);
    case Source::kPidfd:
      return OnPidfd(index);
    case Source::kLogs:
      return PumpLogs();
    case Source::kSignals: {
      signalfd_siginfo info;
      while (read(signals_, &info, sizeof(info)) > 0) reap_wanted_ = true;
      return;
    }
  }
}

// Level-triggered epoll puts a stream that is still ready at the end of its list: round robin.
void Keeper::PumpLogs() {
  epoll_event events[kLogRounds];
  const int count = epoll_wait(log_epoll_, events, kLogRounds, 0);
  for (int i = 0; i < count; ++i) {
    if ((events[i].data.u64 & Attachments::kToken) != 0) {
      OnAttached(static_cast<uint32_t>(events[i].data.u64), events[i].events);
      continue;
    }
    const auto index = static_cast<uint32_t>(events[i].data.u64 / 2);
    const auto stream = static_cast<uint32_t>(events[i].data.u64 % 2);
    pump_.Pump(stream, slot(index), held_[index]);
    NoteDrained(index);
  }
}

void Keeper::OnAttached(uint32_t entry, uint32_t events) {
  uint32_t index = 0;
  uint32_t stream = 0;
  if (pump_.attachments().OnEvent(entry, events, &index, &stream))
    pump_.Settle(index, stream, slot(index), held_[index]);
}

int Keeper::TimeoutMs() const {
  int64_t next = launchers_.NextDeadline();
  const int64_t attached = pump_.attachments().NextDeadline();
  if (attached < next) next = attached;
  for (const Flush& flush : flushes_)
    if (flush.deadline != 0 && flush.deadline < next) next = flush.deadline;
  const int64_t now = next == INT64_MAX ? 0 : MonotonicNanos();
  int64_t wait = next == INT64_MAX ? -1 : next <= now ? 0 : (next - now) / 1000000 + 1;
  if (unresolved_ > 0 && (wait < 0 || wait > kResolveTickMs)) wait = kResolveTickMs;
  if (!pump_.rested() && (wait < 0 || wait > kRestMs)) wait = kRestMs;
  return static_cast<int>(wait > 60000 ? 60000 : wait);
}

void Keeper::OnTimers() {
  if (unresolved_ > 0) ResolvePending();
  if (TimeoutMs() != 0) return;
  const int64_t now = MonotonicNanos();
  for (LaunchJob stuck; launchers_.Expire(now, &stuck);)
    LaunchFailed(stuck, ETIMEDOUT, "launch", "deadline passed; the child cannot be killed", true);
  uint32_t index = 0;
  for (uint32_t stream = 0; pump_.attachments().Expire(now, &index, &stream);)
    if (index < kSlots) pump_.Settle(index, stream, slot(index), held_[index]);
  for (Flush& flush : flushes_) {
    if (flush.deadline == 0 || flush.deadline > now) continue;
    flush.deadline = 0;
    if (flush.connection == connection_) SendDone(flush.sequence, flush.slot, ETIMEDOUT);
  }
}

bool Keeper::Idle() const {
  if (!settings_.exit_when_idle || !had_client_ || client_ >= 0 || launchers_.busy() > 0)
    return false;
  for (uint32_t i = 0; i < high_water(); ++i)
    if (table_->slot[i].state.load() != SlotState::kFree) return false;
  return true;
}

}  // namespace crisp::keeper
