// Two ways, by who can see the container's first process before its execve:
//
// - It enters a pid namespace where others are (POD, TARGET, NODE). Who has CAP_SYS_PTRACE there
//   can write to its memory and use what it holds, so all the work is done by the stub, which they
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

// Nothing can be told after execve: that it is reached, and not a kill on the way, is told before.
int TellReady(Child& child) {
  Report ready;
  ready.step = static_cast<int>(Step::kExecve);
  return ErrnoIf(sys::Retry([&] { return write(child.pipe, &ready, sizeof(ready)); }));
}

constexpr ChildStep kJoinSteps[] = {
    {Step::kOomScore, SetOomScore},  // these four need the launcher's procfs
    {Step::kAppArmor, SetAppArmor},
    {Step::kSelinux, SetSelinux},
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
constexpr ChildStep kEntrySteps[] = {{Step::kCloseOnExec, CloseUsedFds},
                                     {Step::kSeccomp, LoadFilterBeforeEntry}};

constexpr ChildStep kLastSteps[] = {
    {Step::kSession, StartSession}, {Step::kCloseOnExec, CloseOnExec},
    {Step::kExecve, TellReady},     {Step::kSeccomp, LoadFilterAfterEntry},
    {Step::kExecve, Execute},
};

}  // namespace

void RunJoinedStub(Child& child, StubShared* shared) {
  const bool seen = child.head().pid != kNoFd || child.plan.Has(kPlanHostPid);
  if (!RunSteps(child, kJoinSteps)) TellAndExit(child);
  if (seen) {
    const bool done = RunSteps(child, kMountNamespaceSteps) && RunSteps(child, kTreeSteps) &&
                      RunSteps(child, kIdentitySteps) && RunSteps(child, kEntrySteps);
    if (!done) TellAndExit(child);
    CloneOutOfStub(child, shared, 0);
  } else {
    CloneOutOfStub(child, shared, CLONE_NEWPID | CLONE_NEWNS);
    if (!RunSteps(child, kTreeSteps) || !RunSteps(child, kIdentitySteps)) TellAndExit(child);
  }
  RunSteps(child, kLastSteps);
  TellAndExit(child);
}

}  // namespace crisp::init
