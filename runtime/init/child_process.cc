// The process itself: limits, session, descriptors, working directory, program.
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/personality.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>

#include "runtime/init/child.h"
#include "runtime/init/child_target.h"
#include "runtime/sys/mount.h"

namespace crisp::init {

// As root and in the final tree (S8). The descriptor was opened without magic links, and the kernel
// must be able to name it: a directory outside of the root reads "(unreachable)" (CVE-2024-21626).
int EnterWorkingDirectory(Child& child) {
  const char* path = child.plan.Text(child.head().cwd);
  child.Note(path);
  const bool start = child.head().kind == PlanKind::kStart;
  const int directory = start ? OpenOrMakeTarget(child, path, true) : OpenTarget(child, path);
  if (directory < 0) return errno;
  if (fchdir(directory) != 0) return errno;
  const long length = syscall(SYS_getcwd, child.scratch, sizeof(child.scratch));
  if (length < 0) return errno;
  if (child.scratch[0] == '/') return 0;
  child.Note(path, "outside of the container's root");
  return ENOENT;
}

int SetRlimits(Child& child) {
  const Span limits = child.head().rlimits;
  for (uint32_t i = 0; i < limits.count; ++i) {
    const PlanRlimit& limit = child.plan.Items<PlanRlimit>(limits)[i];
    rlimit64 value{limit.soft, limit.hard}, own;
    long result = syscall(SYS_prlimit64, 0, limit.resource, &value, nullptr);
    if (result != 0 && errno == EPERM) {  // raising needs CAP_SYS_RESOURCE: as much as we have
      if (syscall(SYS_prlimit64, 0, limit.resource, nullptr, &own) != 0) return errno;
      value.rlim_max = own.rlim_max;
      if (value.rlim_cur > value.rlim_max) value.rlim_cur = value.rlim_max;
      result = syscall(SYS_prlimit64, 0, limit.resource, &value, nullptr);
    }
    if (result != 0) return errno;
  }
  return 0;
}

int StartSession(Child& child) {
  umask(022);
  syscall(SYS_personality, PER_LINUX);
  if (setsid() < 0) return errno;
  if (!child.plan.Has(kPlanTty)) return 0;
  child.Note("controlling terminal");
  return ErrnoIf(ioctl(0, TIOCSCTTY, 0));
}

// A session keyring of its own: keys of the keeper or of another container are not reachable.
int JoinKeyring(Child&) {
  const long result = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  return result < 0 && errno != ENOSYS && errno != EPERM ? errno : 0;
}

// First out of the way of 0..2, then on them: the packet's descriptors may have any numbers.
int ConnectStdio(Child& child) {
  int copies[3];
  for (int i = 0; i < 3; ++i) {
    const int given = child.terminal >= 0 ? child.terminal : child.Fd(child.head().stdio[i]);
    copies[i] = fcntl(given, F_DUPFD_CLOEXEC, 3);
    if (copies[i] < 0) return errno;
  }
  for (int i = 0; i < 3; ++i) {
    if (dup2(copies[i], i) < 0) return errno;
  }
  return 0;
}

int CloseOnExec(Child&) { return ErrnoIf(syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC)); }

// The mask only: CLONE_CLEAR_SIGHAND reset the handlers, and the keeper ignores nothing
// (keeper_main.cc), which a child would inherit over execve.
int ResetSignals(Child&) {
  const uint64_t none = 0;
  return ErrnoIf(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof(none)));
}

namespace {

int CheckProgram(const char* path) {
  struct stat info;
  if (stat(path, &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return EACCES;
  return ErrnoIf(access(path, X_OK));  // real ids are the effective ones by now
}

bool Join(Child& child, const char* directory, size_t length, const char* name) {
  const size_t name_length = strlen(name);
  if (length + 1 + name_length + 1 > sizeof(child.program)) return false;
  if (length == 0)
    child.program[length++] = '.';  // an empty entry of PATH
  else
    memcpy(child.program, directory, length);
  child.program[length] = '/';
  memcpy(child.program + length + 1, name, name_length + 1);
  return true;
}

int SearchPath(Child& child, const char* name) {
  int err = ENOENT;
  const char* at = child.plan.Text(child.head().program_path);
  while (true) {
    const size_t length = strcspn(at, ":");
    if (Join(child, at, length, name)) {
      const int found = CheckProgram(child.program);
      if (found == 0) return 0;
      if (found == EACCES) err = EACCES;
    }
    at += length;
    if (*at++ == '\0') return err;
  }
}

}  // namespace

// Before the filter, which may refuse stat or kill for it; as the final user.
int FindProgram(Child& child) {
  const char* name = child.argv[0];
  child.Note(name);
  if (child.head().program != kNoFd) return 0;
  if (*name == '\0') return ENOENT;
  if (strchr(name, '/') == nullptr) return SearchPath(child, name);
  if (strlen(name) >= sizeof(child.program)) return ENAMETOOLONG;
  memcpy(child.program, name, strlen(name) + 1);
  return CheckProgram(child.program);
}

int Execute(Child& child) {
  if (child.head().program != kNoFd) {
    const int program = child.Fd(child.head().program);
    return ErrnoIf(syscall(SYS_execveat, program, "", child.argv, child.envp, AT_EMPTY_PATH));
  }
  child.Note(child.program);
  execve(child.program, child.argv, child.envp);
  const int err = errno;
  // The file itself was there a moment ago.
  if (err == ENOENT) child.Note(child.program, "its interpreter is missing");
  return err;
}

}  // namespace crisp::init
