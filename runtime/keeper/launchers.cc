#include "runtime/keeper/launchers.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/pidfd_proc.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/fd.h"
#include "runtime/sys/scm_rights.h"

namespace crisp::keeper {
namespace {

constexpr size_t kStackSize = 256 << 10;
constexpr int64_t kKillGraceNanos = 1000000000;
constexpr int64_t kKillRetryNanos = 20000000;
constexpr int kStartMs = 1000;
constexpr int kPlanSeals = F_SEAL_SHRINK | F_SEAL_WRITE;

// In the zeroed part of the image: a page of it exists only once it is touched.
alignas(4096) char stacks[LauncherPool::kMax][kStackSize];
LaunchFunctions functions;

// The plan, mapped; sealed, so that it cannot change or vanish under the reader.
struct Plan {
  void* data = MAP_FAILED;
  size_t size = 0;
  ~Plan() {
    if (data != MAP_FAILED) munmap(data, size);
  }
  int Map(int fd, bool forked) {
    struct stat info;
    if (fstat(fd, &info) != 0) return errno;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & kPlanSeals) != kPlanSeals) return EPERM;
    if (info.st_size <= 0 || info.st_size > static_cast<off_t>(kMaxPlanSize)) return EFBIG;
    size = static_cast<size_t>(info.st_size);
    data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) return errno;
    // Another launcher's exec must not copy the environment of this container.
    return forked || madvise(data, size, MADV_DONTFORK) == 0 ? 0 : errno;
  }
};

// A table of its own with nothing but stdio and the socket.
int KeepOnly(int socket) {
  const auto keep = static_cast<unsigned>(socket);
  if (unshare(CLONE_FILES) != 0) return errno;
  if (keep > 3 && close_range(3, keep - 1, 0) != 0) return errno;
  return close_range(keep + 1, ~0u, 0) == 0 ? 0 : errno;
}

void SendOutcome(int socket, const init::LaunchOutcome& outcome) {
  LaunchPacket packet{outcome.err, outcome.step, outcome.pid, {}};
  memcpy(packet.text, outcome.text, sizeof(packet.text));
  packet.text[sizeof(packet.text) - 1] = '\0';
  const size_t fd_count = outcome.err == 0 && outcome.pidfd >= 0 ? 1 : 0;
  sys::SendPacket(socket, &packet, sizeof(packet), &outcome.pidfd, fd_count);
}

void CloseAll(const int* fds, size_t count) {
  for (size_t i = 0; i < count; ++i) close(fds[i]);
}

}  // namespace

int LauncherPool::Init(const LaunchFunctions& table, int epoll, uint64_t first_token) {
  functions = table;
  epoll_ = epoll;
  first_token_ = first_token;
  for (uint32_t i = 0; i < kWanted; ++i)
    if (const int err = StartThread(i)) return err;
  for (uint32_t i = 0; i < kWanted; ++i) {
    LaunchPacket greeting{};
    const ssize_t n =
        sys::Retry([&] { return recv(launchers_[i].socket, &greeting, sizeof(greeting), 0); });
    if (n != static_cast<ssize_t>(sizeof(greeting))) return EIO;
    if (greeting.err != 0) return greeting.err;
    Ready(launchers_[i]);
  }
  return 0;
}

int LauncherPool::StartThread(uint32_t index) {
  Launcher& launcher = launchers_[index];
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return errno;
  launcher.socket = pair[0];
  launcher.peer_socket = pair[1];
  launcher.state = State::kStarting;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stacks[index], kStackSize);
  const int err = pthread_create(&launcher.thread, &attributes, Main, &launcher);
  pthread_attr_destroy(&attributes);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = first_token_ + index;
  if (err == 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, pair[0], &event) == 0) return 0;
  launcher.state = State::kUnused;
  return err ? err : errno;
}

// The thread has its own table by now: its end of the socketpair is not needed in this one.
void LauncherPool::Ready(Launcher& launcher) {
  close(launcher.peer_socket);
  launcher.state = State::kIdle;
}

void* LauncherPool::Main(void* self) {
  auto& launcher = *static_cast<Launcher*>(self);
  launcher.tid.store(gettid());
  init::LaunchOutcome greeting;
  greeting.err = KeepOnly(launcher.peer_socket);
  if (greeting.err == 0) greeting.err = functions.enter();
  SendOutcome(launcher.peer_socket, greeting);
  if (greeting.err == 0) Serve(launcher);
  return nullptr;
}

void LauncherPool::Serve(Launcher& launcher) {
  for (;;) {
    Kind kind = Kind::kNone;
    int fds[sys::kMaxPacketFds];
    sys::ReceivedPacket packet;
    if (sys::ReceivePacket(launcher.peer_socket, &kind, sizeof(kind), fds, &packet) != 0) return;
    if (packet.size != static_cast<ssize_t>(sizeof(kind)) || packet.fd_count == 0) return;
    RunJob(launcher, kind, fds, packet.fd_count);
  }
}

// The launch fds are gone before the answer is sent: after a start or its failure no descriptor of
// the keeper keeps a mount alive.
void LauncherPool::RunJob(Launcher& launcher, Kind kind, int* fds, size_t fd_count) {
  init::LaunchOutcome outcome;
  Plan plan;
  outcome.err = plan.Map(fds[0], kind == Kind::kExec);
  if (outcome.err == 0) {
    const auto launch = kind == Kind::kExec ? functions.exec : functions.container;
    outcome = launch(plan.data, plan.size, fds + 1, fd_count - 1, &launcher.watch);
  } else {
    memcpy(outcome.text, "plan", sizeof("plan"));
  }
  launcher.watch.pidfd.store(-1);
  CloseAll(fds, fd_count);
  SendOutcome(launcher.peer_socket, outcome);
  if (outcome.pidfd >= 0) close(outcome.pidfd);
}

int LauncherPool::Give(const LaunchJob& job, const int* fds, size_t fd_count) {
  Launcher* launcher = Idle();
  if (launcher == nullptr) {
    StartOneMore();
    launcher = Idle();
  }
  if (launcher == nullptr) return EAGAIN;
  launcher->watch.pidfd.store(-1);
  const int err =
      sys::SendPacket(launcher->socket, &job.kind, sizeof(job.kind), fds, fd_count, MSG_DONTWAIT);
  if (err != 0) return err;
  launcher->job = job;
  launcher->state = State::kBusy;
  return 0;
}

LauncherPool::Launcher* LauncherPool::Idle() {
  for (Launcher& launcher : launchers_)
    if (launcher.state == State::kIdle) return &launcher;
  return nullptr;
}

bool LauncherPool::Take(uint32_t index, Outcome* outcome) {
  Launcher& launcher = launchers_[index];
  int fds[sys::kMaxPacketFds];
  sys::ReceivedPacket packet;
  outcome->packet = LaunchPacket{};
  if (sys::ReceivePacket(launcher.socket, &outcome->packet, sizeof(LaunchPacket), fds, &packet,
                         MSG_DONTWAIT) != 0 ||
      packet.size != static_cast<ssize_t>(sizeof(LaunchPacket)))
    return false;
  outcome->pidfd = packet.fd_count > 0 ? fds[0] : -1;
  if (launcher.state == State::kStarting) {  // a replacement's greeting
    if (outcome->packet.err == 0) Ready(launcher);
    return false;
  }
  outcome->job = launcher.job;
  outcome->timed_out = launcher.state == State::kKilled;
  outcome->late = launcher.state == State::kWrittenOff;
  launcher.state = State::kIdle;
  RetireSurplus(launcher);
  return true;
}

// One that was started because others hung. At the end of its socket the thread ends by itself.
void LauncherPool::RetireSurplus(Launcher& launcher) {
  uint32_t usable = 0;
  for (const Launcher& each : launchers_)
    if (each.state == State::kIdle || each.state == State::kBusy) ++usable;
  if (usable <= kWanted) return;
  close(launcher.socket);
  launcher.state = State::kRetired;
}

bool LauncherPool::Expire(int64_t now, LaunchJob* stuck) {
  for (Launcher& launcher : launchers_) {
    if (launcher.state == State::kBusy && now >= launcher.job.deadline) {
      launcher.state = State::kKilled;
      launcher.write_off = now + kKillGraceNanos;
      launcher.next_kill = now;
    }
    if (launcher.state != State::kKilled) continue;
    // Again and again: just after the clone the pidfd may not be known yet.
    if (now >= launcher.next_kill) {
      Kill(launcher);
      launcher.next_kill = now + kKillRetryNanos;
    }
    if (now < launcher.write_off) continue;
    launcher.state = State::kWrittenOff;
    *stuck = launcher.job;
    StartOneMore();
    return true;
  }
  return false;
}

// The child's pidfd is a number in the launcher's table, not in this one. /proc tells which process
// it is; that number is the child's as long as the launcher has not reaped it, which is checked
// after the process was pinned (R15).
bool LauncherPool::Kill(Launcher& launcher) {
  const int number = launcher.watch.pidfd.load();
  if (number < 0) return false;
  const int tid = launcher.tid.load();
  const pid_t pid = PidOfPidfd(tid, number);
  if (pid <= 0) return false;
  UniqueFd child(sys::PidfdOpen(pid));
  if (!child.valid() || PidOfPidfd(tid, number) != pid) return false;
  return sys::PidfdSendSignal(child.get(), SIGKILL) == 0;
}

void LauncherPool::StartOneMore() {
  for (uint32_t i = 0; i < kMax; ++i) {
    Launcher& launcher = launchers_[i];
    // Its stack is free only when its thread has ended, which is on its way out.
    if (launcher.state == State::kRetired && pthread_join(launcher.thread, nullptr) == 0) {
      launcher.tid.store(0);
      launcher.state = State::kUnused;
    }
    if (launcher.state != State::kUnused || launcher.tid.load() != 0) continue;
    // A launch may wait for it, or come with the answer that made this necessary: a moment.
    pollfd greeting{-1, POLLIN, 0};
    if (StartThread(i) == 0) greeting.fd = launchers_[i].socket;
    Outcome none;
    if (greeting.fd >= 0 && poll(&greeting, 1, kStartMs) > 0) Take(i, &none);
    return;
  }
}

int64_t LauncherPool::NextDeadline() const {
  int64_t next = INT64_MAX;
  for (const Launcher& launcher : launchers_) {
    int64_t mine = INT64_MAX;
    if (launcher.state == State::kBusy) mine = launcher.job.deadline;
    if (launcher.state == State::kKilled) mine = launcher.next_kill;
    if (mine < next) next = mine;
  }
  return next;
}

uint32_t LauncherPool::busy() const {
  uint32_t count = 0;
  for (const Launcher& launcher : launchers_)
    if (launcher.state == State::kBusy || launcher.state == State::kKilled) ++count;
  return count;
}

uint32_t LauncherPool::written_off() const {
  uint32_t count = 0;
  for (const Launcher& launcher : launchers_)
    if (launcher.state == State::kWrittenOff) ++count;
  return count;
}

}  // namespace crisp::keeper
