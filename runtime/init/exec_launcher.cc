// Exec: launcher -> stub (our pid namespace) -> process in the container (own memory), our child.
#include "runtime/init/clone_on_stack.h"
#include "runtime/init/exec_init.h"
#include "runtime/init/launch_guard.h"
#include "runtime/init/launch_memory.h"
#include "runtime/init/outcome.h"
#include "runtime/init/stub_channel.h"

namespace crisp::init {
namespace {

struct Stub {
  Child* child;
  StubShared* shared;
};

void RunStub(void* argument) {
  const Stub& stub = *static_cast<Stub*>(argument);
  RunExecStub(*stub.child, stub.shared);
}

// With our memory, so that the one copy of it is the new process's: nobody in the container sees
// the stub (R4), CLONE_VFORK keeps this thread off the stack. With a copy where that would not do
// (kPlanOwnMemory).
long CloneStub(Stub* stub, const LaunchMemory& memory, std::atomic<int>* pidfd) {
  const Child& child = *stub->child;
  sys::CloneArgs args = StubCloneArgs(child, pidfd);
  args.stack = reinterpret_cast<uint64_t>(memory.stack());
  args.stack_size = LaunchMemory::kStackSize;
  if (!child.plan.Has(kPlanOwnMemory)) args.flags |= CLONE_VM | CLONE_VFORK;
  return CloneOnStack(&args, RunStub, stub);
}

// The pipe ends without a report when the process runs its program (close-on-exec).
LaunchOutcome Finish(StubChannel& channel, LaunchWatch* watch) {
  const bool killed = WaitForStub(watch);
  const pid_t pid = channel.pid();
  const int inside = pid > 0 ? OpenChild(pid) : -1;
  close(watch->Replace(inside));
  if (killed && inside >= 0) sys::PidfdSendSignal(inside, SIGKILL);

  Report report;
  const bool reported = ReadReport(channel.read_end, &report);
  const int pidfd = watch->Take();
  if (!reported && pidfd >= 0 && !killed) return Running(pid, pidfd);
  if (pidfd >= 0) Reap(pidfd);
  if (reported && report.err != 0) return Failed(report);
  return Failed(Step::kEnter, ECANCELED, "killed on the way");
}

}  // namespace

LaunchOutcome LaunchExec(const void* plan, size_t size, const int* fds, size_t fd_count,
                         LaunchWatch* watch) {
  PlanView view;
  if (const char* bad = OpenPlan(plan, size, fd_count, PlanKind::kExec, &view)) {
    return Failed(Step::kPlan, EINVAL, bad);
  }
  if (!AllAboveStdio(fds, fd_count)) return Failed(Step::kPlan, EBADF, "a descriptor below 3");
  LaunchMemory memory(/*copied=*/true);
  if (const int err = memory.Map(view)) return Failed(Step::kPlan, err, "memory of the launch");
  StubChannel channel;
  if (const int err = channel.Open(view.Has(kPlanOwnMemory)))
    return Failed(Step::kPlan, err, "pipe of the launch");
  Report report;
  Child child;
  child.plan = view;
  child.fds = fds;
  child.argv = memory.argv();
  child.envp = memory.envp();
  child.report = &report;
  child.pipe = channel.write_end;

  const BlockedSignals blocked;
  const DumpableKept dumpable;
  LaunchWatch unwatched;
  if (watch == nullptr) watch = &unwatched;
  Stub stub{&child, channel.shared};
  const long pid = CloneStub(&stub, memory, &watch->pidfd);
  if (pid < 0) return Failed(Step::kClone, static_cast<int>(-pid), "");
  channel.CloseWriteEnd();
  return Finish(channel, watch);
}

}  // namespace crisp::init
