#include "runtime/init/joined_launcher.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "runtime/init/joined_init.h"
#include "runtime/init/launch_guard.h"
#include "runtime/init/launch_memory.h"
#include "runtime/init/outcome.h"

namespace crisp::init {
namespace {

constexpr uint64_t kClearSighand = 0x100000000ull;

// Pipe and shared page of one start.
struct Channel {
  int read_end = -1, write_end = -1;
  JoinedShared* shared = nullptr;

  int Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    read_end = ends[0];
    write_end = ends[1];
    void* page = mmap(nullptr, sizeof(JoinedShared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    shared = static_cast<JoinedShared*>(page);
    return 0;
  }
  void CloseWriteEnd() {
    if (write_end >= 0) close(write_end);
    write_end = -1;
  }
  ~Channel() {
    CloseWriteEnd();
    if (read_end >= 0) close(read_end);
    if (shared != nullptr) munmap(shared, sizeof(JoinedShared));
  }
};

pid_t CloneStub(const Child& child, std::atomic<int>* pidfd) {
  sys::CloneArgs args{};
  args.flags = CLONE_PIDFD | kClearSighand;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (child.head().cgroup_v2 != kNoFd) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(child.Fd(child.head().cgroup_v2));
  }
  return sys::Clone3(args);
}

// True if the stub was killed: the deadline has passed.
bool WaitForStub(LaunchWatch* watch) {
  siginfo_t info{};
  const auto type = static_cast<idtype_t>(P_PIDFD);
  const auto stub = static_cast<id_t>(watch->Held());
  sys::Retry([&] { return waitid(type, stub, &info, WEXITED); });
  return info.si_code == CLD_KILLED;
}

// A pidfd for `pid` if that is a child of ours. The number alone proves nothing.
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

// Ready and then the end of the pipe: it runs. Everything else is a failure, and an end without a
// word a kill on the way.
LaunchOutcome Read(const Channel& channel) {
  Report report;
  if (!ReadReport(channel.read_end, &report)) {
    return Failed(Step::kEnter, ECANCELED, "killed on the way");
  }
  if (report.err != 0) return Failed(report);
  if (ReadReport(channel.read_end, &report)) return Failed(report);
  return {};
}

LaunchOutcome Finish(Channel& channel, LaunchWatch* watch) {
  const bool killed = WaitForStub(watch);
  const pid_t pid = *const_cast<volatile pid_t*>(&channel.shared->pid);
  const int container = pid > 0 ? OpenChild(pid) : -1;
  close(watch->Replace(container));
  if (killed && container >= 0) sys::PidfdSendSignal(container, SIGKILL);

  const LaunchOutcome outcome = Read(channel);
  const int pidfd = watch->Take();
  if (outcome.err == 0 && pidfd >= 0 && !killed) return Running(pid, pidfd);
  if (pidfd >= 0) Reap(pidfd);
  if (outcome.err != 0) return outcome;
  return Failed(Step::kEnter, ECANCELED, "killed on the way");
}

// The stub has a copy of our memory, and needs the plan in it.
void KeepInCopy(const PlanView& plan) {
  madvise(const_cast<char*>(plan.base), plan.head->size, MADV_DOFORK);
}

}  // namespace

LaunchOutcome LaunchJoined(const PlanView& plan, const int* fds, LaunchWatch* watch) {
  LaunchMemory memory;
  if (const int err = memory.Map(plan)) return Failed(Step::kPlan, err, "memory of the launch");
  Channel channel;
  if (const int err = channel.Open()) return Failed(Step::kPlan, err, "pipe of the launch");
  KeepInCopy(plan);
  Report report;
  Child child;
  child.plan = plan;
  child.fds = fds;
  child.argv = memory.argv();
  child.envp = memory.envp();
  child.report = &report;
  child.pipe = channel.write_end;

  const BlockedSignals blocked;
  LaunchWatch unwatched;
  if (watch == nullptr) watch = &unwatched;
  const pid_t stub = CloneStub(child, &watch->pidfd);
  if (stub == 0) RunJoinedStub(child, channel.shared);
  if (stub < 0) return Failed(Step::kClone, errno, "");
  channel.CloseWriteEnd();
  return Finish(channel, watch);
}

}  // namespace crisp::init
