// R4: a process that enters the pid namespace of a running container is visible there, and who has
// CAP_SYS_PTRACE in the container can write to its memory. So it shares no memory with the keeper,
// has no foreign descriptor, and holds its final credentials before it enters. All of that is done
// by the stub, which nobody in the container can see (kPlanSeen: or which has its own memory too).
//
// The one thing that remains is the seccomp filter without no_new_privs, which needs CAP_SYS_ADMIN
// to load. Where nobody in the container may ptrace a process with more capabilities than his own,
// the new process keeps CAP_SYS_ADMIN until execve. Else (kPlanFilterBeforeEntry) the stub loads
// the filter, and the filter must allow clone, capset and setsid; common profiles do.
#include "runtime/init/exec_init.h"

#include <sched.h>
#include <sys/mman.h>

#include "runtime/sys/clone.h"
#include "runtime/sys/retry.h"

namespace crisp::init {
namespace {

int LoadFilterBeforeEntry(Child& child) {
  if (!child.plan.Has(kPlanFilterBeforeEntry)) return 0;
  const int err = LoadSeccomp(child);
  return err != 0 ? err : SetCapabilities(child);
}

int LoadFilterAfterEntry(Child& child) {
  return child.plan.Has(kPlanFilterBeforeEntry) ? 0 : LoadSeccomp(child);
}

constexpr ChildStep kStubSteps[] = {
    {Step::kOomScore, SetOomScore},  // needs the launcher's procfs
    {Step::kAppArmor, SetAppArmor},
    {Step::kCloseFds, CloseForeignFds},
    {Step::kCgroups, JoinCgroups},
    {Step::kNamespaces, JoinContainer},
    {Step::kWorkingDirectory, EnterWorkingDirectory},
    {Step::kRlimits, SetRlimits},
    {Step::kTerminal, OpenTerminal},
    {Step::kStdio, ConnectStdio},
    {Step::kKeyring, JoinKeyring},
    {Step::kPidNamespace, JoinPidNamespace},

    {Step::kGroups, SetGroups},
    {Step::kBoundingSet, DropBoundingSet},
    {Step::kUser, SetUser},
    {Step::kCapabilities, SetCapabilitiesForFilter},
    {Step::kNoNewPrivs, SetNoNewPrivs},
    {Step::kProgram, FindProgram},
    {Step::kSignals, ResetSignals},
    {Step::kSeccomp, LoadFilterBeforeEntry},
};

constexpr ChildStep kInsideSteps[] = {
    {Step::kSession, StartSession},
    {Step::kCloseOnExec, CloseOnExec},
    {Step::kSeccomp, LoadFilterAfterEntry},
    {Step::kExecve, Execute},
};

template <size_t kCount>
bool Run(Child& child, const ChildStep (&steps)[kCount]) {
  return RunSteps(child, steps, kCount);
}

[[noreturn]] void Tell(Child& child) {
  sys::Retry([&] { return write(child.pipe, child.report, sizeof(*child.report)); });
  _exit(127);
}

// CLONE_PARENT makes the new process the keeper's child. Its pid is stored before it runs, even if
// the stub is killed in this very call.
pid_t EnterPidNamespace(StubShared* shared) {
  madvise(shared, sizeof(*shared), MADV_DONTFORK);
  // clone, not clone3: with the filter already loaded, profiles answer clone3 with ENOSYS.
  return static_cast<pid_t>(
      syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID, nullptr, &shared->pid, nullptr, 0));
}

}  // namespace

void RunExecStub(Child& child, StubShared* shared) {
  if (!Run(child, kStubSteps)) Tell(child);
  child.report->step = static_cast<int>(Step::kEnter);
  const pid_t pid = EnterPidNamespace(shared);
  if (pid > 0) _exit(0);
  if (pid < 0) {
    child.report->err = errno;
    Tell(child);
  }
  Run(child, kInsideSteps);
  Tell(child);
}

}  // namespace crisp::init
