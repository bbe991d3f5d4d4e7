// What the steps between clone and execve share. Bare: raw system calls, fixed memory, no locks.
//
// A start's child runs in the keeper's own memory (CLONE_VM | CLONE_VFORK): it must write nothing
// but its stack, `Child` and the report. So no glibc call that touches other threads (set*id), no
// malloc, no stdio.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/init/launch_steps.h"
#include "runtime/init/launcher.h"
#include "runtime/init/plan_view.h"

namespace crisp::init {

// How far the child got and what went wrong. Read by the launcher: by shared memory (start) or a
// pipe (exec).
struct Report {
  int step = 0;
  int err = 0;
  char text[sizeof(LaunchOutcome::text)] = {};
};

struct Child {
  PlanView plan;
  const int* fds = nullptr;
  char** argv = nullptr;
  char** envp = nullptr;
  Report* report = nullptr;
  int pipe = -1;  // exec: where Report and pid go

  // Made on the way; the child's table ends with execve or exit, so nothing is closed one by one.
  int old_root = -1, root = -1, proc = -1, dev = -1, mask = -1;
  int terminal = -1;  // exec: the program's end of a new terminal
  int program_error = 0;
  char program[4096] = {};
  char scratch[3 * 4096] = {};

  const PlanHeader& head() const { return *plan.head; }
  int Fd(FdIndex index) const { return index == kNoFd ? -1 : fds[index]; }
  // Names the object of the step for the error message.
  void Note(const char* text, const char* reason = "");
};

struct ChildStep {
  Step step;
  int (*run)(Child&);  // 0 or errno
};

// Runs the list; false: the report says which step failed.
bool RunSteps(Child& child, const ChildStep* steps, size_t count);
template <size_t kCount>
bool RunSteps(Child& child, const ChildStep (&steps)[kCount]) {
  return RunSteps(child, steps, kCount);
}

inline int ErrnoIf(long result) { return result < 0 ? errno : 0; }

// minimal_namespace.cc: a detached procfs of the keeper's pid namespace; the launcher thread's own
// (-1: none), or a new one.
int LauncherProc();
int MakeProc();

// --- the steps, by file ---
// child_fds.cc
int CloseForeignFds(Child& child);
int CloseUsedFds(Child& child);
// child_namespaces.cc
int SetOomScore(Child& child);
int SetAppArmor(Child& child);
int SetSelinux(Child& child);
int JoinCgroups(Child& child);
int JoinNamespaces(Child& child);
int JoinContainer(Child& child);
int JoinPidNamespace(Child& child);
int MakeCgroupNamespace(Child& child);
// child_shared.cc
int FindSharedProc(Child& child);
int MountVisibleTrees(Child& child);
int JoinUserNamespace(Child& child);
int BecomeRoot(Child& child);
int MakeMountNamespace(Child& child);
int JoinSharedPidNamespace(Child& child);
// child_root.cc
int MakeTreePrivate(Child& child);
int MakeMaskSource(Child& child);
int ChangeRoot(Child& child);
int DetachOldRoot(Child& child);
int MakeRootReadonly(Child& child);
// child_filesystems.cc
int MountProc(Child& child);
int MountDev(Child& child);
int MountSys(Child& child);
int MountMqueue(Child& child);
int MountShm(Child& child);
int MountConsole(Child& child);
// child_cgroupfs.cc
int MountCgroupFs(Child& child);
// child_mounts.cc
int AttachMounts(Child& child);
int MaskPaths(Child& child);
int MakePathsReadonly(Child& child);
// child_terminal.cc
int OpenTerminal(Child& child);
// child_process.cc
int EnterWorkingDirectory(Child& child);
int SetRlimits(Child& child);
int StartSession(Child& child);
int JoinKeyring(Child& child);
int ConnectStdio(Child& child);
int CloseOnExec(Child& child);
int ResetSignals(Child& child);
int FindProgram(Child& child);
int Execute(Child& child);
// child_identity.cc
int SetGroups(Child& child);
int DropBoundingSet(Child& child);
int SetUser(Child& child);
int SetCapabilities(Child& child);
int SetNoNewPrivs(Child& child);
int LoadSeccomp(Child& child);
// A stub's two places for it; see exec_init.cc.
int LoadFilterBeforeEntry(Child& child);
int LoadFilterAfterEntry(Child& child);
// SetCapabilities with CAP_SYS_ADMIN kept for LoadSeccomp, where no_new_privs does not allow it.
int SetCapabilitiesForFilter(Child& child);

}  // namespace crisp::init
