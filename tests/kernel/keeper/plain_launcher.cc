// The launcher of the tests' keeper: a plain fork and exec, so that the keeper can be tested
// without namespaces. The plan is argv, each word ended by a NUL; the fds are stdin, stdout,
// stderr.
//   "@hang"   the child never reaches its execve (a mount that hangs): the deadline must end it
//   "@stuck"  the launcher's thread itself does not come back until its stdin ends
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/keeper_main.h"
#include "runtime/sys/clone.h"

namespace {

using crisp::init::LaunchOutcome;
using crisp::init::LaunchWatch;

constexpr int kStepExec = 2;
constexpr size_t kMaxWords = 32;

int Enter() { return 0; }

[[noreturn]] void Child(char** argv, const int* fds, size_t fd_count, int error_pipe) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  for (size_t i = 0; i < fd_count && i < 3; ++i) dup2(fds[i], static_cast<int>(i));
  if (fd_count > 0 && isatty(0)) ioctl(0, TIOCSCTTY, 0);
  if (strcmp(argv[0], "@hang") == 0)
    for (;;) pause();
  char* const environment[] = {const_cast<char*>("PATH=/bin:/usr/bin"), nullptr};
  execve(argv[0], argv, environment);
  const int err = errno;
  if (write(error_pipe, &err, sizeof(err)) < 0) _exit(126);
  _exit(127);
}

LaunchOutcome Launch(const void* plan, size_t size, const int* fds, size_t fd_count,
                     LaunchWatch* watch) {
  LaunchOutcome outcome;
  madvise(const_cast<void*>(plan), size, MADV_DOFORK);  // this child is forked, a real one is not
  char* argv[kMaxWords + 1] = {};
  char* word = static_cast<char*>(const_cast<void*>(plan));
  char* const end = word + size;
  for (size_t i = 0; i < kMaxWords && word < end; ++i, word += strlen(word) + 1) argv[i] = word;
  if (strcmp(argv[0], "@stuck") == 0) {
    char byte;
    while (read(fds[0], &byte, 1) > 0) {
    }
    outcome.err = EIO;
    return outcome;
  }
  int error_pipe[2];
  if (pipe2(error_pipe, O_CLOEXEC) != 0) return outcome.err = errno, outcome;
  int pidfd = -1;
  crisp::sys::CloneArgs args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const pid_t pid = crisp::sys::Clone3(args);
  if (pid == 0) Child(argv, fds, fd_count, error_pipe[1]);
  close(error_pipe[1]);
  watch->pidfd.store(pidfd);
  int err = pid < 0 ? errno : 0;
  const ssize_t n = pid < 0 ? 0 : read(error_pipe[0], &err, sizeof(err));
  close(error_pipe[0]);
  siginfo_t info{};
  // A child that was killed before its execve has closed the pipe too.
  if (n == 0 && waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
      info.si_pid != 0 && info.si_code == CLD_KILLED && strcmp(argv[0], "@hang") == 0)
    err = EINTR;
  watch->pidfd.store(-1);
  outcome.err = err;
  outcome.step = n > 0 || err != 0 ? kStepExec : 0;
  strncpy(outcome.text, argv[0], sizeof(outcome.text) - 1);
  outcome.pid = pid;
  outcome.pidfd = pidfd;
  if (err == 0) return outcome;
  waitid(P_PIDFD, pidfd, &info, WEXITED);
  close(pidfd);
  outcome.pidfd = -1;
  return outcome;
}

const char* StepName(int step) { return step == kStepExec ? "execve" : "clone"; }

}  // namespace

int main(int argc, char** argv) {
  static constexpr crisp::keeper::LaunchFunctions kPlain = {Enter, Launch, Launch, StepName};
  return crisp::keeper::KeeperMain(argc, argv, kPlain);
}
