#include "runtime/oci/host_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "runtime/base/id.h"
#include "runtime/container/launch_plan.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

constexpr int kReapMs = 5000;  // from the exit to the keeper's reap: an event, only bounded here
constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The daemon itself as the "container" of an exec: its namespaces, root's rights, no filter.
ContainerSpec HostSpec() {
  ContainerSpec spec;
  spec.env = {kPath};
  spec.caps.bounding = spec.caps.effective = spec.caps.permitted = HostCapabilities();
  return spec;
}

Identity Root() {
  Identity root;
  root.home = "/";
  return root;
}

}  // namespace

StatusOr<Stdio> MakeNullStdio() {
  Stdio stdio;
  for (UniqueFd* fd : {&stdio.in, &stdio.out, &stdio.err}) {
    fd->Reset(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!fd->valid()) return ErrnoStatus(errno, "open /dev/null");
  }
  return stdio;
}

StatusOr<HostProgram> HostProgram::Start(const std::vector<std::string>& args, Stdio& stdio,
                                         const RuntimeContext& context, int v2) {
  const UniqueFd self(sys::PidfdOpen(getpid()));
  if (!self.valid()) return ErrnoStatus(errno, "open own pidfd");
  ASSIGN_OR_RETURN(LaunchPlan plan,
                   MakeExecPlan(HostSpec(), Root(), self.get(), v2, {}, stdio, args));
  keeper::ExecRequest request;
  request.id = NewId();
  request.plan = std::move(plan.bytes);
  request.fds = plan.fds;
  auto launched = context.keeper->LaunchExec(request);
  for (UniqueFd* fd : {&stdio.in, &stdio.out, &stdio.err}) fd->Reset();
  RETURN_IF_ERROR(Annotate(launched.status(), "run ", args.front()));
  return HostProgram(request.id, std::move(launched->pidfd), context);
}

HostProgram::~HostProgram() {
  if (!pidfd_.valid()) return;
  sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  context_->keeper->Drop(id_);
}

StatusOr<int> HostProgram::Wait(int timeout_ms) {
  pollfd poller{pidfd_.get(), POLLIN, 0};
  if (sys::Retry([&] { return poll(&poller, 1, timeout_ms); }) <= 0) {
    return absl::DeadlineExceededError(absl::StrCat("still running after ", timeout_ms, " ms"));
  }
  if (context_->wait_exit) return context_->wait_exit(id_, kReapMs);
  // POLLHUP of a pidfd: reaped, so the kernel holds the status for everybody.
  poller.events = 0;
  int status = keeper::kUnknownStatus;
  if (sys::Retry([&] { return poll(&poller, 1, kReapMs); }) > 0 &&
      sys::PidfdExitStatus(pidfd_.get(), &status) == 0) {
    return status;
  }
  return keeper::kUnknownStatus;
}

}  // namespace crisp::runtime
