// R4: a process that enters the pid namespace of a running container is visible there, and who has
// CAP_SYS_PTRACE in the container can write to its memory. So it shares no memory with the keeper,
// has no foreign descriptor, and holds its final credentials before it enters. All of that is done
// by the stub, which nobody in the container can see (or which has its own memory: kPlanOwnMemory).
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

constexpr ChildStep kStubSteps[] = {
    {Step::kOomScore, SetOomScore},  // needs the launcher's procfs
    {Step::kAppArmor, SetAppArmor},
    {Step::kSelinux, SetSelinux},
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
    {Step::kCloseOnExec, CloseUsedFds},
    {Step::kSeccomp, LoadFilterBeforeEntry},
};

constexpr ChildStep kInsideSteps[] = {
    {Step::kSession, StartSession},
    {Step::kCloseOnExec, CloseOnExec},
    {Step::kSeccomp, LoadFilterAfterEntry},
    {Step::kExecve, Execute},
};

}  // namespace

void RunExecStub(Child& child, StubShared* shared) {
  if (!RunSteps(child, kStubSteps)) TellAndExit(child);
  CloneOutOfStub(child, shared, 0);
  RunSteps(child, kInsideSteps);
  TellAndExit(child);
}

}  // namespace crisp::init
