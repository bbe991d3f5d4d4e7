// Two ways, by who can see the container's first process before its execve:
//
// - It enters a pid namespace where others are (POD, TARGET, NODE). Who has CAP_SYS_PTRACE there
// can
//   write to its memory and use what it holds, so all the work is done by the stub, which they
//   cannot see (in the host's namespace they can see everybody), and the process enters with its
//   final credentials (R4, S11). Its filter: as for an exec, see exec_init.cc.
// - It is the first of a new pid namespace in a user namespace: nobody sees it, and only it can
//   make the mounts that must belong to its mount and pid namespaces. The stub only joins.
#include "runtime/init/joined_init.h"

#include <sched.h>
#include <sys/mman.h>

#include "runtime/init/joined_launcher.h"
#include "runtime/sys/retry.h"

namespace crisp::init {
namespace {

int SetRlimitsEarly(Child& child) { return child.head().user != kNoFd ? SetRlimits(child) : 0; }

int LoadFilterBeforeEntry(Child& child) {
  if (!child.plan.Has(kPlanFilterBeforeEntry)) return 0;
  const int err = LoadSeccomp(child);
  return err != 0 ? err : SetCapabilities(child);
}

int LoadFilterAfterEntry(Child& child) {
  return child.plan.Has(kPlanFilterBeforeEntry) ? 0 : LoadSeccomp(child);
}

// Nothing can be told after execve: that it is reached, and not a kill on the way, is told before.
int TellReady(Child& child) {
  Report ready;
  ready.step = static_cast<int>(Step::kExecve);
  return ErrnoIf(sys::Retry([&] { return write(child.pipe, &ready, sizeof(ready)); }));
}

constexpr ChildStep kJoinSteps[] = {
    {Step::kOomScore, SetOomScore},  // these two need the launcher's procfs
    {Step::kSharedProc, FindSharedProc},
    {Step::kCloseFds, CloseForeignFds},
    {Step::kCgroups, JoinCgroups},
    {Step::kNamespaces, JoinNamespaces},
    {Step::kRlimits, SetRlimitsEarly},  // hard limits are the host's to raise
    {Step::kVisibleTrees, MountVisibleTrees},
    {Step::kUserNamespace, JoinUserNamespace},  // what follows belongs to it
    {Step::kCgroupNamespace, MakeCgroupNamespace},
};

constexpr ChildStep kTreeSteps[] = {
    {Step::kPrivateTree, MakeTreePrivate},
    {Step::kMaskSource, MakeMaskSource},
    {Step::kRoot, ChangeRoot},
    {Step::kProc, MountProc},
    {Step::kDev, MountDev},
    {Step::kSys, MountSys},
    {Step::kCgroupFs, MountCgroupFs},
    {Step::kMqueue, MountMqueue},
    {Step::kShm, MountShm},
    {Step::kConsole, MountConsole},
    {Step::kMounts, AttachMounts},
    {Step::kReadonlyPaths, MakePathsReadonly},
    {Step::kMaskedPaths, MaskPaths},
    {Step::kOldRoot, DetachOldRoot},
    {Step::kWorkingDirectory, EnterWorkingDirectory},
    {Step::kReadonlyRoot, MakeRootReadonly},
    {Step::kRlimits, SetRlimits},
    {Step::kStdio, ConnectStdio},
    {Step::kKeyring, JoinKeyring},
};

constexpr ChildStep kIdentitySteps[] = {
    {Step::kPidNamespace, JoinSharedPidNamespace},
    {Step::kGroups, SetGroups},
    {Step::kBoundingSet, DropBoundingSet},
    {Step::kUser, SetUser},
    {Step::kCapabilities, SetCapabilitiesForFilter},
    {Step::kNoNewPrivs, SetNoNewPrivs},
    {Step::kProgram, FindProgram},
    {Step::kSignals, ResetSignals},
};

constexpr ChildStep kMountNamespaceSteps[] = {{Step::kMountNamespace, MakeMountNamespace}};
constexpr ChildStep kFilterSteps[] = {{Step::kSeccomp, LoadFilterBeforeEntry}};

constexpr ChildStep kLastSteps[] = {
    {Step::kSession, StartSession}, {Step::kCloseOnExec, CloseOnExec},
    {Step::kExecve, TellReady},     {Step::kSeccomp, LoadFilterAfterEntry},
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

// CLONE_PARENT: the keeper's child. clone, not clone3: with the filter already loaded, profiles
// answer clone3 with ENOSYS. In the stub it ends the process, whatever the result.
void BecomeContainer(Child& child, StubShared* shared, int new_namespaces) {
  madvise(shared, sizeof(*shared), MADV_DONTFORK);
  child.report->step = static_cast<int>(Step::kEnter);
  const auto pid =
      static_cast<pid_t>(syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | new_namespaces,
                                 nullptr, &shared->pid, nullptr, 0));
  if (pid == 0) return;
  if (pid > 0) _exit(0);
  child.report->err = errno;
  Tell(child);
}

}  // namespace

void RunJoinedStub(Child& child, StubShared* shared) {
  const bool seen = child.head().pid != kNoFd || child.plan.Has(kPlanHostPid);
  if (!Run(child, kJoinSteps)) Tell(child);
  if (seen) {
    const bool done = Run(child, kMountNamespaceSteps) && Run(child, kTreeSteps) &&
                      Run(child, kIdentitySteps) && Run(child, kFilterSteps);
    if (!done) Tell(child);
    BecomeContainer(child, shared, 0);
  } else {
    BecomeContainer(child, shared, CLONE_NEWPID | CLONE_NEWNS);
    if (!Run(child, kTreeSteps) || !Run(child, kIdentitySteps)) Tell(child);
  }
  Run(child, kLastSteps);
  Tell(child);
}

}  // namespace crisp::init
