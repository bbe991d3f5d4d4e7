#include "runtime/container/live_exec.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>

#include "runtime/base/id.h"
#include "runtime/container/exec_launch.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

bool WaitReadable(int fd, std::chrono::milliseconds limit) {
  pollfd poller{fd, POLLIN, 0};
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const int64_t wait = std::clamp<int64_t>(left.count(), 0, 1 << 30);
    const int ready = poll(&poller, 1, static_cast<int>(wait));
    if (ready > 0) return true;
    if (ready == 0 && wait == 0) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

StatusOr<std::unique_ptr<LiveExec>> LiveExec::Start(const ContainerSpec& spec,
                                                    const Identity& identity, int pidfd,
                                                    std::shared_ptr<Cgroup> cgroup,
                                                    const RuntimeContext& context,
                                                    const LiveExecSpec& exec) {
  if (exec.args.empty()) return InvalidField("cmd", "", "nothing to run");
  ASSIGN_OR_RETURN(ExecCgroup group,
                   ExecCgroup::Make(*cgroup, context.features.cgroup_kill, context.left_groups));
  ASSIGN_OR_RETURN(Stdio stdio,
                   exec.tty ? MakeExecTerminal() : MakeExecPipes(exec.streams, identity.uid));
  std::unique_ptr<LiveExec> live(
      new LiveExec(NewId(), std::move(cgroup), std::move(group), context));
  ASSIGN_OR_RETURN(keeper::LaunchResult launched,
                   runtime::LaunchExec(spec, identity, pidfd, *live->cgroup_, live->group_, stdio,
                                       live->id_, context, exec.args));
  live->pidfd_ = std::move(launched.pidfd);  // from here on it is killed and forgotten
  if (exec.tty) {
    ASSIGN_OR_RETURN(live->terminal, ReceiveTerminal(stdio));
  }
  live->in = std::move(stdio.in_write);
  live->out = std::move(stdio.out_read);
  live->err = std::move(stdio.err_read);
  return live;
}

LiveExec::~LiveExec() {
  if (!pidfd_.valid()) return;
  if (!left_ && !Ended()) Kill();
  context_.keeper->Drop(id_);
}

bool LiveExec::Ended() const { return WaitReadable(pidfd(), std::chrono::milliseconds(0)); }

StatusOr<int> LiveExec::ExitCode(std::chrono::milliseconds limit) {
  if (!WaitReadable(pidfd(), limit)) return absl::DeadlineExceededError("exec: still running");
  return ExecExitCode(context_, id_, pidfd());
}

void LiveExec::Signal(int signal) const { sys::PidfdSendSignal(pidfd(), signal); }

void LiveExec::Kill() { KillExec(group_, pidfd()); }

void LiveExec::HangUp(std::chrono::milliseconds grace) {
  // To its whole process group, as from a terminal: a shell's child would live on (6.9; before that
  // the program alone gets it).
  constexpr unsigned kProcessGroup = 1u << 2;  // PIDFD_SIGNAL_PROCESS_GROUP
  if (sys::PidfdSendSignal(pidfd(), SIGHUP, kProcessGroup) != 0) Signal(SIGHUP);
  if (!WaitReadable(pidfd(), grace)) Kill();
}

Status ResizeTerminal(int terminal, uint16_t width, uint16_t height) {
  winsize size{};
  if (ioctl(terminal, TIOCGWINSZ, &size) != 0) return ErrnoStatus(errno, "ask for terminal's size");
  if (width != 0) size.ws_col = width;
  if (height != 0) size.ws_row = height;
  if (ioctl(terminal, TIOCSWINSZ, &size) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "resize terminal");
}

}  // namespace crisp::runtime
