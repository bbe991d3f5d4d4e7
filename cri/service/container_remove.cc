// RemoveContainer: by force if it runs. The slow part (cgroup, upper directory) is the janitor's,
// and durable.
#include <algorithm>

#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"

namespace crisp::cri {

Status RuntimeService::RemoveContainer(const v1::RemoveContainerRequest& request,
                                       v1::RemoveContainerResponse*, CallContext& call) {
  const auto found = parts_.pods->FindContainer(request.container_id());
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  RETURN_IF_ERROR(found.status());
  const std::shared_ptr<Container> container = *found;
  call.set_object(container->id);
  RETURN_IF_ERROR(
      KillContainer(*container, std::min(call.deadline(), absl::Now() + absl::Seconds(20))));
  call.stages().Mark("kill");
  RETURN_IF_ERROR(RemoveStopped(*container));
  call.stages().Mark("record");
  return absl::OkStatus();
}

Status RuntimeService::RemoveStopped(Container& container) {
  {
    std::lock_guard<std::mutex> lock(container.mu);
    if (container.state == ContainerState::kRemoving) return absl::OkStatus();
    if (!CanChange(container.state, ContainerState::kRemoving)) {
      return absl::FailedPreconditionError(
          absl::StrCat("remove container ", container.id, ": it is ", Name(container.state)));
    }
    container.state = ContainerState::kRemoving;
    container.prepared = nullptr;
    container.cgroup = nullptr;
    container.image_pin = nullptr;
    RETURN_IF_ERROR(parts_.journal->Append(RecordOf(container)));
    container.changed.notify_all();
  }
  parts_.runtime.keeper->Drop(container.id);
  if (const auto pod = parts_.pods->FindPod(container.pod_id); pod.ok()) {
    std::lock_guard<std::mutex> lock((*pod)->mu);
    auto& all = (*pod)->containers;
    all.erase(std::remove_if(all.begin(), all.end(),
                             [&](const auto& one) { return one->id == container.id; }),
              all.end());
  }
  {
    std::lock_guard<std::mutex> lock(container.mu);
    NoteEvent(v1::CONTAINER_DELETED_EVENT, container);
  }
  parts_.pods->names().Free(container.name);
  parts_.pods->RemoveContainer(container.id);
  QueueDestroy(*parts_.janitor, *parts_.journal, parts_.runtime, container.id,
               container.spec->cgroup_parent);
  return absl::OkStatus();
}

void QueueDestroy(Janitor& janitor, Journal& journal, const runtime::RuntimeContext& context,
                  const std::string& id, const std::string& cgroup_parent) {
  janitor.Queue(absl::StrCat("container ", id), [&journal, context, id, cgroup_parent] {
    RETURN_IF_ERROR(runtime::DestroyOci(id, context.oci_dir, context));
    RETURN_IF_ERROR(runtime::DestroyContainer(id, cgroup_parent, context));
    records::Record record;
    record.set_removed_container(id);
    RETURN_IF_ERROR(journal.Append(record));
    return journal.CompactIfLarge();
  });
}

}  // namespace crisp::cri
