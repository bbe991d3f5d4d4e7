// clone3(2), pidfds and what one can learn from them.
#pragma once

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/sys/retry.h"

namespace crisp::sys {

// struct clone_args of <linux/sched.h>, V2 (kernel 5.7: cgroup).
struct CloneArgs {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
      set_tid_size, cgroup;
};

// Fork-like clone3: the child continues after the call on a copy of the stack (never with
// CLONE_VM).
inline pid_t Clone3(CloneArgs& args) {
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof(args)));
}

inline int PidfdOpen(pid_t pid, unsigned flags = 0) {
  return static_cast<int>(syscall(SYS_pidfd_open, pid, flags));
}
inline int PidfdSendSignal(int pidfd, int sig, unsigned flags = 0) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, sig, nullptr, flags));
}

// PIDFD_GET_INFO (6.13; exit information for non-parents after the reap: 6.15).
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
inline constexpr uint64_t kPidfdInfoExit = 1u << 3;

// The wait(2) status of a process that is already reaped. ENODATA: not yet; ENOTTY, EINVAL: old
// kernel.
inline int PidfdExitStatus(int pidfd, int* wait_status) {
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (ioctl(pidfd, _IOWR(0xFF, 11, PidfdInfo), &info) != 0) return errno;
  if ((info.mask & kPidfdInfoExit) == 0) return ENODATA;
  *wait_status = info.exit_code;
  return 0;
}

// A descriptor of the process's pid namespace (6.11). -1 with errno.
inline int PidfdPidNamespace(int pidfd) { return ioctl(pidfd, _IO(0xFF, 5), 0); }

// CRI's exit code of a wait(2) status: the code itself, or 128 + signal.
inline int ExitCodeOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace crisp::sys
