// The first process of a pid namespace that a pod's containers share: its end, expected or not.
#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/files.h"
#include "runtime/base/log.h"
#include "runtime/container/pause.h"

namespace crisp::cri {

Status RuntimeService::BeginPause(Pod& pod, const runtime::IdMap& id_map,
                                  runtime::PodSandbox* sandbox) {
  // Tells the next start whose the cgroup is; goes with the pod's files.
  RETURN_IF_ERROR(MakeDirs(absl::StrCat(options_.state_dir, "/sandboxes/", pod.id), 0700));
  ASSIGN_OR_RETURN(runtime::Pause pause,
                   runtime::StartPause(pod.id, pod.config.linux().cgroup_parent(), id_map, *sandbox,
                                       parts_.runtime));
  sandbox->pause = std::move(pause.pidfd);
  pod.pause_cgroup = std::move(pause.cgroup);
  return absl::OkStatus();
}

// With it every process of the namespace ends. The cgroup's removal is the janitor's, as a
// container's.
Status RuntimeService::EndPause(Pod& pod, absl::Time deadline) {
  std::shared_ptr<runtime::Cgroup> cgroup;
  {
    std::lock_guard<std::mutex> lock(pod.mu);
    cgroup = pod.pause_cgroup;
  }
  if (!cgroup) return absl::OkStatus();
  const absl::Duration left = deadline - absl::Now();
  const Status killed = cgroup->Kill(static_cast<int>(
      absl::ToInt64Milliseconds(std::clamp(left, absl::Milliseconds(1), absl::Seconds(20)))));
  RETURN_IF_ERROR(Annotate(killed, "end the first process of pod sandbox ", pod.id));
  parts_.runtime.keeper->Drop(runtime::PauseId(pod.id));
  cgroup.reset();
  {
    std::lock_guard<std::mutex> lock(pod.mu);
    pod.pause_cgroup = nullptr;
  }
  QueueDestroy(*parts_.janitor, *parts_.journal, parts_.runtime, pod.id,
               pod.config.linux().cgroup_parent());
  return absl::OkStatus();
}

// By itself it ends only if somebody killed it, and its containers died with it: nothing can be
// started in this pod any more, which the kubelet must see.
bool RuntimeService::OnPauseExit(const keeper::ExitEvent& event) {
  const std::string pod_id = runtime::PodOfPause(event.id);
  if (pod_id.empty()) return false;
  parts_.runtime.keeper->AckExit(event.id);
  const auto pod = parts_.pods->FindPod(pod_id);
  if (!pod.ok()) return true;
  std::lock_guard<std::mutex> lock((*pod)->mu);
  if ((*pod)->state != PodState::kReady) return true;
  (*pod)->state = PodState::kStopping;
  LogWarning("the first process of a shared pid namespace ended",
             {{"pod", pod_id}, {"wait_status", absl::StrCat(event.wait_status)}});
  const Status recorded = parts_.journal->Append(RecordOf(**pod));
  if (!recorded.ok())
    LogError("recording a pod's end", {{"pod", pod_id}, {"error", recorded.ToString()}});
  return true;
}

}  // namespace crisp::cri
