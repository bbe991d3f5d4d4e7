// Exec: launcher -> stub (our pid namespace) -> process in the container (own memory), our child.
#include <fcntl.h>
#include <sys/mman.h>

#include "runtime/init/clone_on_stack.h"
#include "runtime/init/exec_init.h"
#include "runtime/init/launch_guard.h"
#include "runtime/init/launch_memory.h"
#include "runtime/init/outcome.h"

namespace crisp::init {
namespace {

constexpr uint64_t kClearSighand = 0x100000000ull;

// Pipe and shared page of one exec.
struct Channel {
  int read_end = -1, write_end = -1;
  ExecShared* shared = nullptr;

  int Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    read_end = ends[0];
    write_end = ends[1];
    void* page = mmap(nullptr, sizeof(ExecShared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    shared = static_cast<ExecShared*>(page);
    return 0;
  }
  void CloseWriteEnd() {
    if (write_end >= 0) close(write_end);
    write_end = -1;
  }
  ~Channel() {
    CloseWriteEnd();
    if (read_end >= 0) close(read_end);
    if (shared != nullptr) munmap(shared, sizeof(ExecShared));
  }
};

struct Stub {
  Child* child;
  ExecShared* shared;
};

void RunStub(void* argument) {
  const Stub& stub = *static_cast<Stub*>(argument);
  RunExecStub(*stub.child, stub.shared);
}

// With our memory, so that the one copy of it is the new process's: nobody in the container sees
// the stub (R4), CLONE_VFORK keeps this thread off the stack. Where the container does see our pid
// namespace (kPlanSeen) with a copy.
long CloneStub(Stub* stub, const LaunchMemory& memory, std::atomic<int>* pidfd) {
  const Child& child = *stub->child;
  sys::CloneArgs args{};
  args.flags = CLONE_PIDFD | kClearSighand;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(memory.stack());
  args.stack_size = LaunchMemory::kStackSize;
  if (!child.plan.Has(kPlanSeen)) args.flags |= CLONE_VM | CLONE_VFORK;
  if (child.head().cgroup_v2 != kNoFd) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(child.Fd(child.head().cgroup_v2));
  }
  return CloneOnStack(&args, RunStub, stub);
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

// Until the process in the container runs its program (close-on-exec) or said why not.
bool ReadReport(int pipe, ExecReport* report) {
  const ssize_t got = sys::Retry([&] { return read(pipe, report, sizeof(*report)); });
  report->text[sizeof(report->text) - 1] = '\0';
  return got == static_cast<ssize_t>(sizeof(*report));
}

LaunchOutcome Finish(Channel& channel, LaunchWatch* watch) {
  const bool killed = WaitForStub(watch);
  const pid_t pid = *const_cast<volatile pid_t*>(&channel.shared->pid);
  const int inside = pid > 0 ? OpenChild(pid) : -1;
  close(watch->Replace(inside));
  if (killed && inside >= 0) sys::PidfdSendSignal(inside, SIGKILL);

  ExecReport report;
  const bool reported = ReadReport(channel.read_end, &report);
  const int pidfd = watch->Take();
  if (!reported && pidfd >= 0 && !killed) return Running(pid, pidfd);
  if (pidfd >= 0) Reap(pidfd);
  if (reported && report.err != 0) return Failed(report);
  return Failed(Step::kEnter, ECANCELED, "killed on the way");
}

}  // namespace

LaunchOutcome LaunchExec(const void* plan, size_t size, const int* fds, size_t fd_count,
                         LaunchWatch* watch) {
  PlanView view;
  if (const char* bad = OpenPlan(plan, size, fd_count, PlanKind::kExec, &view)) {
    return Failed(Step::kPlan, EINVAL, bad);
  }
  if (!AllAboveStdio(fds, fd_count)) return Failed(Step::kPlan, EBADF, "a descriptor below 3");
  LaunchMemory memory;
  if (const int err = memory.Map(view)) return Failed(Step::kPlan, err, "memory of the launch");
  Channel channel;
  if (const int err = channel.Open()) return Failed(Step::kPlan, err, "pipe of the launch");
  Report report;
  Child child;
  child.plan = view;
  child.fds = fds;
  child.argv = memory.argv();
  child.envp = memory.envp();
  child.report = &report;
  child.pipe = channel.write_end;

  const BlockedSignals blocked;
  const DumpableKept dumpable;
  LaunchWatch unwatched;
  if (watch == nullptr) watch = &unwatched;
  Stub stub{&child, channel.shared};
  const long pid = CloneStub(&stub, memory, &watch->pidfd);
  if (pid < 0) return Failed(Step::kClone, static_cast<int>(-pid), "");
  channel.CloseWriteEnd();
  return Finish(channel, watch);
}

}  // namespace crisp::init
