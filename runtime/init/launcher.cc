// Start: the child shares our memory (CLONE_VM) because nobody else can see it: it is the first
// process of a new pid namespace (R4). CLONE_VFORK lets it report by plain memory.
#include "runtime/init/launcher.h"

#include <string.h>

#include "runtime/init/clone_on_stack.h"
#include "runtime/init/container_init.h"
#include "runtime/init/joined_launcher.h"
#include "runtime/init/launch_guard.h"
#include "runtime/init/launch_memory.h"
#include "runtime/init/outcome.h"

namespace crisp::init {
namespace {

// CLONE_CLEAR_SIGHAND of <linux/sched.h> (5.5).
constexpr uint64_t kClearSighand = 0x100000000ull;

long CloneContainer(Child* child, const LaunchMemory& memory, std::atomic<int>* pidfd) {
  static_assert(sizeof(*pidfd) == sizeof(int), "the kernel stores the pidfd right there");
  sys::CloneArgs args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD | kClearSighand;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(memory.stack());
  args.stack_size = LaunchMemory::kStackSize;
  if (child->head().cgroup_v2 != kNoFd) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(child->Fd(child->head().cgroup_v2));
  }
  return CloneOnStack(&args, RunContainerInit, child);
}

}  // namespace

LaunchOutcome LaunchContainer(const void* plan, size_t size, const int* fds, size_t fd_count,
                              LaunchWatch* watch) {
  PlanView view;
  if (const char* bad = OpenPlan(plan, size, fd_count, PlanKind::kStart, &view)) {
    return Failed(Step::kPlan, EINVAL, bad);
  }
  if (!AllAboveStdio(fds, fd_count)) return Failed(Step::kPlan, EBADF, "a descriptor below 3");
  if (NeedsOwnMemory(*view.head)) return LaunchJoined(view, fds, watch);
  LaunchMemory memory(/*copied=*/false);
  if (const int err = memory.Map(view)) return Failed(Step::kPlan, err, "memory of the launch");
  Report report;
  Child child;
  child.plan = view;
  child.fds = fds;
  child.argv = memory.argv();
  child.envp = memory.envp();
  child.report = &report;

  const BlockedSignals blocked;
  const DumpableKept dumpable;
  LaunchWatch unwatched;
  if (watch == nullptr) watch = &unwatched;
  const long pid = CloneContainer(&child, memory, &watch->pidfd);
  if (pid < 0) return Failed(Step::kClone, static_cast<int>(-pid), "");
  const int pidfd = watch->Take();
  if (report.err == 0 && report.step != static_cast<int>(Step::kExecve)) {
    report.err = ECANCELED;  // killed on the way: the deadline, or no memory in the cgroup
  }
  if (report.err == 0) return Running(static_cast<pid_t>(pid), pidfd);
  Reap(pidfd);
  return Failed(report);
}

}  // namespace crisp::init
