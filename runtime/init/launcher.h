// The keeper's side of a launch: one clone, then wait until the child runs the workload or says why
// not. Bare world. Start: clone3(CLONE_VM | CLONE_VFORK | NEWPID | NEWNS | PIDFD [| INTO_CGROUP])
// from a thread in a minimal mount namespace. Exec: a stub with its own memory joins, takes its
// final credentials, then forks into the pid namespace with CLONE_PARENT (never CLONE_VM with a
// process that others in the container can see).
#pragma once

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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
// kernel stores the pidfd before the child runs; the watcher kills through it when the deadline has
// passed.
struct LaunchWatch {
  std::atomic<int> pidfd{-1};
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
