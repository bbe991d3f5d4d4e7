// The keeper's side of a launch: one clone, then wait until the child runs the workload or says why
// not. Bare world. Start: clone3(CLONE_VM | CLONE_VFORK | NEWPID | NEWNS | PIDFD [| INTO_CGROUP])
// from a thread in a minimal mount namespace. Exec: a stub with its own memory joins, takes its
// final credentials, then forks into the pid namespace with CLONE_PARENT (never CLONE_VM with a
// process that others in the container can see).
#pragma once

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>

namespace crisp::init {

struct LaunchOutcome {
  int err = 0;          // 0: the workload runs
  int step = 0;         // which step failed: StepName(step)
  char text[160] = {};  // what it was about: a path, a program; NUL-terminated
  pid_t pid = -1;
  int pidfd = -1;  // owned by the caller
};

// Lets another thread end a launch that hangs (dead NFS below a mount target, frozen cgroup): the
// kernel stores the pidfd before the child runs; the watcher calls Kill() when the deadline has
// passed. A claim (kBusy) keeps the launcher from closing the pidfd while the watcher uses it: its
// number could be another process's by then.
struct LaunchWatch {
  static constexpr int kNone = -1, kBusy = -2;
  std::atomic<int> pidfd{kNone};

  // Watcher. False: there is nothing to kill (yet, or any more).
  bool Kill() {
    const int held = pidfd.exchange(kBusy);
    const bool killed = held >= 0 && syscall(SYS_pidfd_send_signal, held, SIGKILL, nullptr, 0) == 0;
    int busy = kBusy;
    pidfd.compare_exchange_strong(busy, held);
    return killed;
  }
  // Launcher: what is held, and taking it back.
  int Held() const {
    int held = kBusy;
    while (held == kBusy) held = pidfd.load();
    return held;
  }
  int Take() { return Replace(kNone); }
  int Replace(int next) {
    int held = pidfd.load();
    while (held == kBusy || !pidfd.compare_exchange_weak(held, next)) {
      if (held == kBusy) held = pidfd.load();  // the watcher is within one system call
    }
    return held;
  }
};

// Once per launcher thread, before its first launch: unshare(CLONE_FS | CLONE_NEWNS), then an empty
// read-only tmpfs is the whole tree (so that each clone copies one mount). Returns 0 or errno.
int EnterMinimalMountNamespace();

// `plan` is the flat plan of launch_plan_wire.h; it comes from the daemon but is checked completely
// (offsets, indices, strings). `fds` are borrowed: the child's copies go with its fd table.
LaunchOutcome LaunchContainer(const void* plan, size_t size, const int* fds, size_t fd_count,
                              LaunchWatch* watch);
LaunchOutcome LaunchExec(const void* plan, size_t size, const int* fds, size_t fd_count,
                         LaunchWatch* watch);

const char* StepName(int step);  // "join namespaces", "mount /proc", "execve" ...

}  // namespace crisp::init
