// Where the child belongs: cgroups first, so that all it allocates is charged to the container.
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "runtime/init/child.h"

namespace crisp::init {
namespace {

int WriteSmall(int fd, const char* text) { return ErrnoIf(write(fd, text, strlen(text))); }

// Through a procfs of our own: a container's /proc may be anything (CVE-2025-52881).
int OpenOwnProc(const Child& child, const char* path) {
  int proc = child.proc;
  if (proc < 0)
    proc = LauncherProc();  // an exec: mounting one costs an RCU grace period at its end
  if (proc < 0) proc = MakeProc();
  return proc < 0 ? -1 : openat(proc, path, O_WRONLY | O_CLOEXEC);
}

}  // namespace

// Lowering the value needs CAP_SYS_RESOURCE, which the host may not have given us: then the
// keeper's value stays.
int SetOomScore(Child& child) {
  const int file = OpenOwnProc(child, "self/oom_score_adj");
  if (file < 0) return errno;
  char text[16];
  int value = child.head().oom_score_adj;
  char* at = text + sizeof(text);
  *--at = '\0';
  const bool negative = value < 0;
  unsigned rest = negative ? 0u - static_cast<unsigned>(value) : static_cast<unsigned>(value);
  do {
    *--at = static_cast<char>('0' + rest % 10);
  } while ((rest /= 10) != 0);
  if (negative) *--at = '-';
  const int err = WriteSmall(file, at);
  return err == EACCES || err == EPERM ? 0 : err;
}

// The profile of the next execve; inherited over the fork of an exec. Its own file since 5.8 (other
// security modules may own attr/exec).
int SetAppArmor(Child& child) {
  const char* text = child.plan.Text(child.head().apparmor);
  if (*text == '\0') return 0;
  child.Note(text);
  int file = OpenOwnProc(child, "self/attr/apparmor/exec");
  if (file < 0 && errno == ENOENT) file = OpenOwnProc(child, "self/attr/exec");
  return file < 0 ? errno : WriteSmall(file, text);
}

// As AppArmor's: the label of the next execve, and before that of the session's keyring, which
// would else keep the keeper's.
int SetSelinux(Child& child) {
  const char* label = child.plan.Text(child.head().process_label);
  if (*label == '\0') return 0;
  child.Note(label);
  const int exec = OpenOwnProc(child, "self/attr/exec");
  if (exec < 0) return errno;
  if (const int err = WriteSmall(exec, label)) return err;
  const int keys = OpenOwnProc(child, "self/attr/keycreate");
  if (keys < 0) return errno == ENOENT ? 0 : errno;
  return WriteSmall(keys, label);
}

// A task that moves itself pays no RCU grace period, other than a write to cgroup.procs from
// outside (floor.md 0). The v2 cgroup was entered by the clone.
int JoinCgroups(Child& child) {
  const Span tasks = child.head().v1_tasks;
  for (uint32_t i = 0; i < tasks.count; ++i) {
    const int err = WriteSmall(child.Fd(child.plan.Items<FdIndex>(tasks)[i]), "0");
    if (err != 0) return err;
  }
  return 0;
}

int JoinNamespaces(Child& child) {
  const struct {
    FdIndex index;
    int type;
    const char* name;
  } namespaces[] = {{child.head().net, CLONE_NEWNET, "net"},
                    {child.head().ipc, CLONE_NEWIPC, "ipc"},
                    {child.head().uts, CLONE_NEWUTS, "uts"}};
  for (const auto& each : namespaces) {
    if (each.index == kNoFd) continue;
    child.Note(each.name);
    if (setns(child.Fd(each.index), each.type) != 0) return errno;
  }
  return 0;
}

// All of them by the pidfd of the container's first process, so that no number is reused in between
// (R15). The mount namespace's root becomes our root.
int JoinContainer(Child& child) {
  const int container = child.Fd(child.head().container);
  const int all = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  const bool user = child.plan.Has(kPlanUserNamespace);
  if (user) {  // hard limits are the host's to raise
    if (const int err = SetRlimits(child)) return err;
  }
  if (setns(container, user ? all | CLONE_NEWUSER : all) != 0) return errno;
  if (user) {
    if (const int err = BecomeRoot(child)) return err;
  }
  child.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return ErrnoIf(child.root);
}

// Holds for children only: this process itself stays invisible in the container.
int JoinPidNamespace(Child& child) {
  return ErrnoIf(setns(child.Fd(child.head().container), CLONE_NEWPID));
}

// After JoinCgroups: the namespace's root is where the child is now.
int MakeCgroupNamespace(Child& child) {
  if (!child.plan.Has(kPlanCgroupNamespace)) return 0;
  return ErrnoIf(unshare(CLONE_NEWCGROUP));
}

}  // namespace crisp::init
