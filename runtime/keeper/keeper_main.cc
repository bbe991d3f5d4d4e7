#include "runtime/keeper/keeper_main.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/keeper.h"
#include "runtime/keeper/seal_self.h"

namespace crisp::keeper {
namespace {

struct Arguments {
  const char* dir = nullptr;
  KeeperSettings settings;
  int ready_fd = -1;
};

constinit Keeper keeper;
Held held[kSlots];  // zeroed by the kernel: a page of it exists only once it is touched

// stderr is /dev/null when the daemon starts us, the journal under systemd.
int Fail(const char* what, int err) {
  const char* parts[] = {"crisp-keeper: ", what, ": ", strerrorname_np(err) ?: "error", "\n"};
  for (const char* part : parts)
    if (write(STDERR_FILENO, part, strlen(part)) < 0) break;
  return 1;
}

bool Parse(int argc, char** argv, Arguments* out) {
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (strcmp(argv[i], "--exit-when-idle") == 0) {
      out->settings.exit_when_idle = true;
    } else if (strcmp(argv[i], "--no-exit-info") == 0) {
      out->settings.exit_info = false;
    } else if (strcmp(argv[i], "--dir") == 0 && has_value) {
      out->dir = argv[++i];
    } else if (strcmp(argv[i], "--ready-fd") == 0 && has_value) {
      out->ready_fd = atoi(argv[++i]);
    } else {
      return false;
    }
  }
  return out->dir != nullptr;
}

// No other process may look into this one, and it is the last to be killed for memory. What is
// inherited by containers (limits, the oom score) is set again by their plans.
void HardenSelf() {
  prctl(PR_SET_NAME, "crisp-keeper");
  prctl(PR_SET_DUMPABLE, 0);
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur =
      0;  // the hard limit stays: without CAP_SYS_RESOURCE no plan could raise it again
  setrlimit(RLIMIT_CORE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0) return;
  if (write(score, "-1000", 5) < 0 && write(score, "-999", 4) < 0) {
    // Not permitted without CAP_SYS_RESOURCE: the score stays as it is.
  }
  close(score);
}

// Blocked, not ignored: a launch resets the mask, but an ignored signal would survive its execve.
// What our starter ignored is inherited: put back once here, not in each launch.
void BlockSignals() {
  for (int sig = 1; sig < NSIG; ++sig) signal(sig, SIG_DFL);
  sigset_t all;
  sigfillset(&all);
  for (const int sig : {SIGTERM, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigdelset(&all, sig);
  sigprocmask(SIG_SETMASK, &all, nullptr);
}

// A record lock belongs to the process: unlike flock it is not shared with a child that a dead
// keeper left behind in the middle of a launch.
int TakeLock(int dir) {
  const int file = openat(dir, kLockName, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return errno;
  flock64 lock{};
  lock.l_type = F_WRLCK;
  return fcntl(file, F_SETLK, &lock) == 0 ? 0 : errno;  // never closed: that would let go of it
}

// Through /proc/self/fd, because sun_path is short and folders may be deep. The lock is ours, so a
// socket that is there is a dead keeper's.
int Listen(int dir) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  static_assert(sizeof("/proc/self/fd/") + 11 + sizeof(kSocketName) < sizeof(address.sun_path));
  char* end = stpcpy(address.sun_path, "/proc/self/fd/");
  if (dir > 99) return EMFILE;
  if (dir > 9) *end++ = static_cast<char>('0' + dir / 10);
  *end++ = static_cast<char>('0' + dir % 10);
  *end++ = '/';
  stpcpy(end, kSocketName);
  if (unlinkat(dir, kSocketName, 0) != 0 && errno != ENOENT) return -errno;
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return -errno;
  umask(0177);
  const bool ok = bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                  listen(listener, 16) == 0;
  return ok ? listener : -errno;
}

int Serve(const Arguments& arguments, const LaunchFunctions& functions) {
  const int dir = open(arguments.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (dir < 0) return Fail("open directory", errno);
  if (const int err = TakeLock(dir)) {
    Fail("lock keeper.lock (another keeper runs)", err);
    return err == EAGAIN || err == EACCES ? kExitLocked : 1;
  }
  const int listener = Listen(dir);
  if (listener < 0) return Fail("listen on keeper.sock", -listener);
  close(dir);
  if (const int err = keeper.Init(listener, held, functions, arguments.settings))
    return Fail("start", err);
  if (arguments.ready_fd >= 0) {
    if (write(arguments.ready_fd, "R", 1) != 1) return Fail("report ready", errno);
    close(arguments.ready_fd);
  }
  const int err = keeper.Run();
  return err == 0 ? 0 : Fail("wait for events", err);
}

}  // namespace

int KeeperMain(int argc, char** argv, const LaunchFunctions& functions) {
  Arguments arguments;
  if (!Parse(argc, argv, &arguments))
    return Fail("usage: crisp-keeper --dir PATH [--exit-when-idle] [--no-exit-info] [--ready-fd N]",
                EINVAL);
  if (const int err = RunFromSealedCopy(argv)) return Fail("run from a sealed copy", err);
  HardenSelf();
  BlockSignals();
  // Orphans of what we run for the daemon (OCI runtimes) become our children, with their exit
  // codes.
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  setsid();  // fails if we lead a session already
  return Serve(arguments, functions);
}

}  // namespace crisp::keeper
