// RemovePodSandbox: stops by force, removes the containers, forgets the pod. Unknown is fine.
#include "cri/service/runtime_service.h"

namespace crisp::cri {

Status RuntimeService::RemovePodSandbox(const v1::RemovePodSandboxRequest& request,
                                        v1::RemovePodSandboxResponse*, CallContext& call) {
  const auto found = parts_.pods->FindPod(request.pod_sandbox_id());
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  RETURN_IF_ERROR(found.status());
  const std::shared_ptr<Pod> pod = *found;
  call.set_object(pod->id);

  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod->id);
  RETURN_IF_ERROR(StopPodSandbox(stop, nullptr, call));
  std::vector<std::shared_ptr<Container>> containers;
  {
    std::lock_guard<std::mutex> lock(pod->mu);
    containers = pod->containers;
  }
  for (const auto& container : containers) RETURN_IF_ERROR(RemoveStopped(*container));
  call.stages().Mark("containers");

  std::lock_guard<std::mutex> lock(pod->mu);
  if (pod->state == PodState::kRemoving) return absl::OkStatus();
  pod->state = PodState::kRemoving;
  pod->group.reset();
  parts_.runtime.cgroups->LeaveParent(pod->config.linux().cgroup_parent());
  // Only now: without the record nobody would know that the parent is ours.
  records::Record record;
  record.set_removed_pod(pod->id);
  RETURN_IF_ERROR(parts_.journal->Append(record));
  NoteEvent(v1::CONTAINER_DELETED_EVENT, *pod);
  parts_.pods->RemovePod(pod->id);
  parts_.pods->names().Free(pod->name);
  call.stages().Mark("record");
  return absl::OkStatus();
}

}  // namespace crisp::cri
