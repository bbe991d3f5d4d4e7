// StartContainer: Created -> Running, or Exited with reason StartError and a message that names
// what was missing.
#include <cerrno>
#include <chrono>

#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/log.h"

namespace crisp::cri {
namespace {

constexpr int kRetries = 3;
constexpr absl::Duration kRetryTime = absl::Seconds(5);
constexpr int kStartErrorCode = 128;  // containerd's, which dashboards know

bool WasInterrupted(const Status& status) {
  return absl::IsUnavailable(status) || ErrnoOf(status) == ECANCELED;
}

Status ClaimStart(Container& container, absl::Time deadline) {
  std::unique_lock<std::mutex> lock(container.mu);
  while (container.update_running && absl::Now() < deadline) {
    container.changed.wait_for(lock, std::chrono::milliseconds(100));
  }
  if (container.update_running) {
    return absl::DeadlineExceededError(
        absl::StrCat("start container ", container.id, ": an update is still running"));
  }
  if (container.state != ContainerState::kCreated) {
    return absl::FailedPreconditionError(absl::StrCat("start container ", container.id, ": it is ",
                                                      Name(container.state), ", not created"));
  }
  container.state = ContainerState::kStarting;
  return absl::OkStatus();
}

std::shared_ptr<const runtime::ContainerSpec> LockedSpec(const Container& container) {
  std::lock_guard<std::mutex> lock(container.mu);
  return SpecInForce(container);
}

void SetState(Container& container, ContainerState state) {
  container.state = state;
  container.changed.notify_all();
}

Status GiveBackStart(Container& container, const Status& why) {
  std::lock_guard<std::mutex> lock(container.mu);
  container.early_exit.reset();
  SetState(container, ContainerState::kCreated);
  return why;
}

StatusOr<std::shared_ptr<const runtime::PodSandbox>> ReadySandbox(Pod& pod) {
  std::lock_guard<std::mutex> lock(pod.mu);
  if (pod.state == PodState::kReady && pod.sandbox) return pod.sandbox;
  return absl::FailedPreconditionError(
      absl::StrCat("pod sandbox ", pod.id, " is ", Name(pod.state)));
}

void FailStart(Container& container, const Status& status, Journal& journal) {
  std::lock_guard<std::mutex> lock(container.mu);
  container.started_at = container.finished_at = RealtimeNanos();
  container.exit_code = kStartErrorCode;
  container.reason = "StartError";
  container.message = std::string(status.message());
  container.prepared = nullptr;
  SetState(container, ContainerState::kExited);
  const Status recorded = journal.Append(RecordOf(container));
  if (!recorded.ok())
    LogError("recording a failed start",
             {{"container", container.id}, {"error", recorded.ToString()}});
}

}  // namespace

Status LaunchError(const Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::UnknownError(status.message());
}

Status RuntimeService::StartContainer(const v1::StartContainerRequest& request,
                                      v1::StartContainerResponse*, CallContext& call) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container,
                   parts_.pods->FindContainer(request.container_id()));
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, parts_.pods->FindPod(container->pod_id));
  call.set_object(container->id);
  ASSIGN_OR_RETURN(const Handler* handler, parts_.handlers->Find(pod->runtime_handler));
  // Claimed first: a stop of the pod either finds the container starting and waits for it, or is
  // seen by the look at the pod that follows. The other way round it could slip between the two.
  RETURN_IF_ERROR(ClaimStart(*container, call.deadline()));
  const auto found = ReadySandbox(*pod);
  if (!found.ok()) return GiveBackStart(*container, found.status());
  const std::shared_ptr<const runtime::PodSandbox> sandbox = *found;
  const absl::Time last_retry = absl::Now() + kRetryTime;
  Status status = Launch(*container, *handler, *sandbox, call);
  // The keeper died in the middle, or the child was killed on its way: what had begun is killed by
  // its cgroup, so trying again is safe.
  for (int retry = 0; retry < kRetries && WasInterrupted(status) && absl::Now() < last_retry;
       ++retry) {
    status = Launch(*container, *handler, *sandbox, call);
  }
  if (status.ok()) return status;
  status = Annotate(LaunchError(status), "start container ", container->id);
  // UNAVAILABLE asks for a retry: nothing of this container runs, so it is as created as before.
  if (absl::IsUnavailable(status)) return GiveBackStart(*container, status);
  FailStart(*container, status, *parts_.journal);
  std::lock_guard<std::mutex> lock(container->mu);
  NoteEvent(v1::CONTAINER_STOPPED_EVENT, *container);
  return status;
}

Status RuntimeService::Launch(Container& container, const Handler& handler,
                              const runtime::PodSandbox& sandbox, CallContext& call) {
  std::unique_ptr<runtime::PreparedContainer> prepared = std::move(container.prepared);
  const auto spec = LockedSpec(container);
  if (prepared) {  // an update since then has written its limits; the rest is in the plan
    prepared->spec.oom_score_adj = spec->oom_score_adj;
  } else {
    // After a restart of the daemon, or a first try that failed: the directories are there, the
    // mounts are not. An external runtime may have got as far as making the container.
    RETURN_IF_ERROR(runtime::DestroyOci(container.id, parts_.runtime.oci_dir, parts_.runtime));
    ASSIGN_OR_RETURN(prepared, runtime::PrepareContainer(*spec, parts_.runtime, /*reuse=*/true));
    call.stages().Mark("prepare");
  }
  ASSIGN_OR_RETURN(const OpenedLog log,
                   OpenLog(container.log_path.empty() ? "" : container.log_directory,
                           container.config.log_path()));
  call.stages().Mark("log");
  runtime::StartOptions options{log.fd.get(),
                                log.offset,
                                options_.max_log_line,
                                options_.log_file_bytes,
                                options_.log_rate_bytes,
                                -1};
  std::shared_ptr<UniqueFd> target;
  if (container.spec->pid == runtime::NamespaceMode::kTarget) {
    ASSIGN_OR_RETURN(target,
                     TargetProcess(container.spec->pid_target, container.pod_id, *parts_.pods));
    options.pid_target = target->get();
  }
  StatusOr<runtime::StartedContainer> started =
      handler.oci ? handler.oci->Start(*prepared, sandbox, parts_.runtime, options,
                                       container.spec->seccomp != nullptr)
                  : runtime::StartContainer(*prepared, sandbox, parts_.runtime, options);
  call.stages().Mark("launch");
  RETURN_IF_ERROR(started.status());
  prepared->cgroup->Joined();

  std::lock_guard<std::mutex> lock(container.mu);
  container.cgroup = std::move(prepared->cgroup);
  container.pidfd = std::make_shared<UniqueFd>(std::move(started->pidfd));
  container.stdin_write = std::move(started->stdin_write);
  container.pid = started->pid;
  container.started_at = started->started_nanos;
  SetState(container, ContainerState::kRunning);
  const Status recorded = parts_.journal->Append(RecordOf(container));
  // It runs: the keeper knows it, and recovery believes the keeper.
  if (!recorded.ok())
    LogError("recording a start", {{"container", container.id}, {"error", recorded.ToString()}});
  NoteEvent(v1::CONTAINER_STARTED_EVENT, container);
  if (container.early_exit) parts_.exits->Post(*container.early_exit);
  call.stages().Mark("record");
  return absl::OkStatus();
}

}  // namespace crisp::cri
