// StopPodSandbox: no process of the pod runs any more, its network is given back. Idempotent, and
// it always ends.
#include <chrono>

#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/log.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kKillLimit = absl::Seconds(20);

// Becomes the one that stops this pod, or waits for the one that does. False: the pod is stopped.
StatusOr<bool> ClaimStop(Pod& pod, absl::Time deadline) {
  std::unique_lock<std::mutex> lock(pod.mu);
  while (pod.state == PodState::kStopping && pod.stop_running) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("pod sandbox ", pod.id, " is still being stopped"));
    }
    pod.changed.wait_for(lock, absl::ToChronoMilliseconds(std::min(left, absl::Hours(1))));
  }
  if (pod.state == PodState::kNotReady || pod.state == PodState::kRemoving) return false;
  pod.state = PodState::kStopping;
  pod.stop_running = true;
  return true;
}

// All at once, then one wait: 10 containers die in the time of the slowest.
Status KillAll(const std::vector<std::shared_ptr<Container>>& containers, absl::Time deadline) {
  for (const auto& container : containers) {
    std::lock_guard<std::mutex> lock(container->mu);
    if (container->state == ContainerState::kRunning && container->cgroup)
      (void)container->cgroup->Kill(0);
  }
  Status first;
  for (const auto& container : containers) first.Update(KillContainer(*container, deadline));
  return first;
}

}  // namespace

Status RuntimeService::StopPodSandbox(const v1::StopPodSandboxRequest& request,
                                      v1::StopPodSandboxResponse*, CallContext& call) {
  const auto found = parts_.pods->FindPod(request.pod_sandbox_id());
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  RETURN_IF_ERROR(found.status());
  Pod& pod = **found;
  call.set_object(pod.id);
  const absl::Time deadline =
      std::min(call.deadline() - absl::Milliseconds(200), absl::Now() + kKillLimit);
  ASSIGN_OR_RETURN(const bool claimed, ClaimStop(pod, deadline));
  if (!claimed) return absl::OkStatus();

  std::vector<std::shared_ptr<Container>> containers;
  {
    std::lock_guard<std::mutex> lock(pod.mu);
    containers = pod.containers;
  }
  Status killed = KillAll(containers, deadline);
  killed.Update(EndPause(pod, deadline));
  call.stages().Mark("kill");
  if (killed.ok() && !pod.network_record.empty()) {
    const Status released = parts_.network->Release(pod.id, pod.network_record);
    // The address is fenced and the rest is retried in the background: no reason to hold the pod.
    if (!released.ok())
      LogWarning("releasing a pod's network", {{"pod", pod.id}, {"error", released.ToString()}});
    call.stages().Mark("network");
  }
  std::lock_guard<std::mutex> lock(pod.mu);
  pod.stop_running = false;
  pod.changed.notify_all();
  RETURN_IF_ERROR(killed);
  pod.sandbox = nullptr;
  pod.stats = nullptr;
  parts_.runtime.keeper->Drop(pod.id);
  (void)runtime::RemovePodSandboxFiles(pod.id, options_.state_dir);
  pod.state = PodState::kNotReady;
  const Status recorded = parts_.journal->Append(RecordOf(pod));
  NoteEvent(v1::CONTAINER_STOPPED_EVENT, pod);
  call.stages().Mark("record");
  return recorded;
}

}  // namespace crisp::cri
