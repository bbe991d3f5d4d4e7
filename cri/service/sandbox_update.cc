// UpdatePodSandboxResources: the pod's sums, after the kubelet has set the limits of the pod's
// cgroup itself (api.proto). What is left to do is to know them: the cgroup is the kubelet's, and
// limits that we wrote there again would fight with its next change.
#include "cri/service/runtime_service.h"
#include "cri/translate/resources.h"

namespace crisp::cri {
namespace {

Status Check(const char* field, const v1::LinuxContainerResources& resources,
             runtime::CgroupMode mode) {
  const Status status = TranslateResources(resources, mode).status();
  return status.ok() ? status : Annotate(status, field);
}

Status RecordUpdate(Pod& pod, const v1::UpdatePodSandboxResourcesRequest& request,
                    Journal& journal) {
  std::lock_guard<std::mutex> lock(pod.mu);
  if (pod.state != PodState::kReady) {
    return absl::FailedPreconditionError(
        absl::StrCat("update pod sandbox ", pod.id, ": it is ", Name(pod.state)));
  }
  v1::LinuxContainerResources overhead = pod.overhead, resources = pod.resources;
  const bool updated = pod.updated;
  pod.overhead = request.has_overhead() ? request.overhead() : pod.overhead;
  pod.resources = request.has_resources() ? request.resources() : pod.resources;
  pod.updated = true;
  const Status recorded = journal.Append(RecordOf(pod));
  if (recorded.ok()) return recorded;
  pod.overhead = std::move(overhead);
  pod.resources = std::move(resources);
  pod.updated = updated;
  return recorded;
}

}  // namespace

Status RuntimeService::UpdatePodSandboxResources(
    const v1::UpdatePodSandboxResourcesRequest& request, v1::UpdatePodSandboxResourcesResponse*,
    CallContext& call) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, parts_.pods->FindPod(request.pod_sandbox_id()));
  call.set_object(pod->id);
  const runtime::CgroupMode mode = parts_.runtime.cgroups->mode();
  RETURN_IF_ERROR(Check("overhead", request.overhead(), mode));
  RETURN_IF_ERROR(Check("resources", request.resources(), mode));
  return RecordUpdate(*pod, request, *parts_.journal);
}

}  // namespace crisp::cri
