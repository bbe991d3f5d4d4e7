#include "runtime/init/stub_channel.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "runtime/init/outcome.h"

namespace crisp::init {
namespace {

// CLONE_CLEAR_SIGHAND of <linux/sched.h> (5.5).
constexpr uint64_t kClearSighand = 0x100000000ull;

}  // namespace

int StubChannel::Open(bool own_memory) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  read_end = ends[0];
  write_end = ends[1];
  if (!own_memory) return 0;
  void* page =
      mmap(nullptr, sizeof(StubShared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return errno;
  shared = static_cast<StubShared*>(page);
  shared->mapped = true;
  return 0;
}

void StubChannel::CloseWriteEnd() {
  if (write_end >= 0) close(write_end);
  write_end = -1;
}

StubChannel::~StubChannel() {
  CloseWriteEnd();
  if (read_end >= 0) close(read_end);
  if (shared != &here) munmap(shared, sizeof(StubShared));
}

void CloneOutOfStub(Child& child, StubShared* shared, int new_namespaces) {
  if (shared->mapped) madvise(shared, sizeof(*shared), MADV_DONTFORK);
  child.report->step = static_cast<int>(Step::kEnter);
  // clone, not clone3: with the filter already loaded, profiles answer clone3 with ENOSYS. The pid
  // is stored before the process runs, even if the stub is killed in this very call.
  const auto pid =
      static_cast<pid_t>(syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | new_namespaces,
                                 nullptr, &shared->pid, nullptr, 0));
  if (pid == 0) return;
  if (pid > 0) _exit(0);
  child.report->err = errno;
  TellAndExit(child);
}

void TellAndExit(Child& child) {
  sys::Retry([&] { return write(child.pipe, child.report, sizeof(*child.report)); });
  _exit(127);
}

sys::CloneArgs StubCloneArgs(const Child& child, std::atomic<int>* pidfd) {
  sys::CloneArgs args{};
  args.flags = CLONE_PIDFD | kClearSighand;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (child.head().cgroup_v2 != kNoFd) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(child.Fd(child.head().cgroup_v2));
  }
  return args;
}

bool WaitForStub(LaunchWatch* watch) {
  siginfo_t info{};
  const auto type = static_cast<idtype_t>(P_PIDFD);
  const auto stub = static_cast<id_t>(watch->Held());
  sys::Retry([&] { return waitid(type, stub, &info, WEXITED); });
  return info.si_code == CLD_KILLED;
}

int OpenChild(pid_t pid) {
  const int pidfd = sys::PidfdOpen(pid);
  if (pidfd < 0) return -1;
  siginfo_t info{};
  const int result = waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info,
                            WEXITED | WNOHANG | WNOWAIT);
  if (result == 0) return pidfd;
  close(pidfd);
  return -1;
}

bool ReadReport(int pipe, Report* report) {
  const ssize_t got = sys::Retry([&] { return read(pipe, report, sizeof(*report)); });
  report->text[sizeof(report->text) - 1] = '\0';
  return got == static_cast<ssize_t>(sizeof(*report));
}

}  // namespace crisp::init
