#include "runtime/init/joined_launcher.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "runtime/init/joined_init.h"
#include "runtime/init/launch_guard.h"
#include "runtime/init/launch_memory.h"
#include "runtime/init/outcome.h"
#include "runtime/init/stub_channel.h"

namespace crisp::init {
namespace {

// Ready and then the end of the pipe: it runs. Everything else is a failure, and an end without a
// word a kill on the way.
LaunchOutcome Read(const StubChannel& channel) {
  Report report;
  if (!ReadReport(channel.read_end, &report)) {
    return Failed(Step::kEnter, ECANCELED, "killed on the way");
  }
  if (report.err != 0) return Failed(report);
  if (ReadReport(channel.read_end, &report)) return Failed(report);
  return {};
}

LaunchOutcome Finish(StubChannel& channel, LaunchWatch* watch) {
  const bool killed = WaitForStub(watch);
  const pid_t pid = channel.pid();
  const int container = pid > 0 ? OpenChild(pid) : -1;
  close(watch->Replace(container));
  if (killed && container >= 0) sys::PidfdSendSignal(container, SIGKILL);

  const LaunchOutcome outcome = Read(channel);
  const int pidfd = watch->Take();
  if (outcome.err == 0 && pidfd >= 0 && !killed) return Running(pid, pidfd);
  if (pidfd >= 0) Reap(pidfd);
  if (outcome.err != 0) return outcome;
  return Failed(Step::kEnter, ECANCELED, "killed on the way");
}

// The stub has a copy of our memory, and needs the plan in it.
void KeepInCopy(const PlanView& plan) {
  madvise(const_cast<char*>(plan.base), plan.head->size, MADV_DOFORK);
}

}  // namespace

LaunchOutcome LaunchJoined(const PlanView& plan, const int* fds, LaunchWatch* watch) {
  LaunchMemory memory(/*copied=*/true);
  if (const int err = memory.Map(plan)) return Failed(Step::kPlan, err, "memory of the launch");
  StubChannel channel;
  if (const int err = channel.Open(/*own_memory=*/true))
    return Failed(Step::kPlan, err, "pipe of the launch");
  KeepInCopy(plan);
  Report report;
  Child child;
  child.plan = plan;
  child.fds = fds;
  child.argv = memory.argv();
  child.envp = memory.envp();
  child.report = &report;
  child.pipe = channel.write_end;

  const BlockedSignals blocked;
  LaunchWatch unwatched;
  if (watch == nullptr) watch = &unwatched;
  sys::CloneArgs args = StubCloneArgs(child, &watch->pidfd);
  const pid_t stub = sys::Clone3(args);
  if (stub == 0) RunJoinedStub(child, channel.shared);
  if (stub < 0) return Failed(Step::kClone, errno, "");
  channel.CloseWriteEnd();
  return Finish(channel, watch);
}

}  // namespace crisp::init
