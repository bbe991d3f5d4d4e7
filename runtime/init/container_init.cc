#include "runtime/init/container_init.h"

namespace crisp::init {
namespace {

constexpr ChildStep kSteps[] = {
    {Step::kCloseFds, CloseForeignFds},
    {Step::kCgroups, JoinCgroups},
    {Step::kNamespaces, JoinNamespaces},
    {Step::kCgroupNamespace, MakeCgroupNamespace},

    {Step::kPrivateTree, MakeTreePrivate},
    {Step::kMaskSource, MakeMaskSource},
    {Step::kRoot, ChangeRoot},
    {Step::kProc, MountProc},
    {Step::kOomScore, SetOomScore},
    {Step::kAppArmor, SetAppArmor},  // before anything foreign is mounted; holds from execve on
    {Step::kSelinux, SetSelinux},
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
    {Step::kSession, StartSession},
    {Step::kKeyring, JoinKeyring},

    {Step::kGroups, SetGroups},
    {Step::kBoundingSet, DropBoundingSet},
    {Step::kUser, SetUser},
    {Step::kCapabilities, SetCapabilitiesForFilter},
    {Step::kNoNewPrivs, SetNoNewPrivs},
    {Step::kProgram, FindProgram},
    {Step::kCloseOnExec, CloseOnExec},
    {Step::kSignals, ResetSignals},
    {Step::kSeccomp, LoadSeccomp},  // last: from here on only execve (or write and exit) follow
    {Step::kExecve, Execute},
};

}  // namespace

void RunContainerInit(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  RunSteps(child, kSteps);
  _exit(127);
}

}  // namespace crisp::init
