// UpdateContainerResources: all of the change or nothing of it, and an answer only when it is in
// force. The kubelet's CPU manager and its in-place resize live on this.
#include <chrono>

#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"
#include "cri/translate/resources.h"
#include "runtime/container/update_container.h"

namespace crisp::cri {
namespace {

bool CanUpdate(ContainerState state) {
  return state == ContainerState::kCreated || state == ContainerState::kRunning;
}

Status WrongState(const Container& container) {
  return absl::FailedPreconditionError(absl::StrCat("update container ", container.id, ": it is ",
                                                    Name(container.state),
                                                    ", neither created nor running"));
}

// One update at a time, and none while a launch reads the limits. Returns what is in force now.
StatusOr<v1::LinuxContainerResources> ClaimUpdate(Container& container, absl::Time deadline) {
  std::unique_lock<std::mutex> lock(container.mu);
  while (container.update_running || container.state == ContainerState::kStarting) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("update container ", container.id, ": another operation is still running"));
    }
    container.changed.wait_for(
        lock, absl::ToChronoMilliseconds(std::min(left, absl::Hours(1)) + absl::Milliseconds(1)));
  }
  if (!CanUpdate(container.state)) return WrongState(container);
  container.update_running = true;
  return container.resources;
}

void EndUpdate(Container& container) {
  std::lock_guard<std::mutex> lock(container.mu);
  container.update_running = false;
  container.changed.notify_all();
}

runtime::ContainerChange ChangeOf(const ResourceUpdate& update) {
  runtime::ContainerChange change{update.change.limits, {}};
  if (update.oom_score_adj) change.oom_score_adj = update.whole.oom_score_adj;
  return change;
}

StatusOr<runtime::ChangedContainer> Write(const Container& container, const ResourceUpdate& update,
                                          const runtime::RuntimeContext& context) {
  // A handle of its own: the container's belongs to its start and its end.
  const auto cgroup = context.cgroups->Open(container.spec->cgroup_parent, container.id);
  // Under systemd a created container's scope goes with the daemon that made it; its start makes a
  // new one, with what is recorded now. For one that runs, the record will find it ended.
  if (absl::IsNotFound(cgroup.status())) return runtime::ChangedContainer{};
  RETURN_IF_ERROR(cgroup.status());
  return runtime::ChangeContainer(**cgroup, ChangeOf(update));
}

// Under the lock: a container that ended meanwhile keeps what it had.
Status Record(Container& container, const ResourceUpdate& update, Journal& journal) {
  std::lock_guard<std::mutex> lock(container.mu);
  if (!CanUpdate(container.state)) return WrongState(container);
  auto spec = std::make_shared<runtime::ContainerSpec>(*container.spec);
  spec->limits = update.whole.limits;
  spec->oom_score_adj = update.whole.oom_score_adj;
  v1::LinuxContainerResources old = container.resources;
  const bool first = !container.updated;
  container.resources = update.merged;
  container.updated = true;
  const Status recorded = journal.Append(RecordOf(container));
  if (!recorded.ok()) {
    container.resources = std::move(old);
    container.updated = !first;
    return recorded;
  }
  container.updated_spec = std::move(spec);
  return absl::OkStatus();
}

}  // namespace

Status RuntimeService::UpdateContainerResources(const v1::UpdateContainerResourcesRequest& request,
                                                v1::UpdateContainerResourcesResponse*,
                                                CallContext& call) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container,
                   parts_.pods->FindContainer(request.container_id()));
  call.set_object(container->id);
  if (request.has_windows()) return InvalidField("windows", "", "containers here are Linux's");
  ASSIGN_OR_RETURN(const v1::LinuxContainerResources current,
                   ClaimUpdate(*container, call.deadline()));
  const Pending claim([&] { EndUpdate(*container); });
  ASSIGN_OR_RETURN(const ResourceUpdate update,
                   TranslateUpdate(current, request.linux(), parts_.runtime.cgroups->mode()));
  StatusOr<runtime::ChangedContainer> changed = Write(*container, update, parts_.runtime);
  if (!changed.ok()) return Annotate(changed.status(), "update container ", container->id);
  call.stages().Mark("write");
  RETURN_IF_ERROR(Record(*container, update, *parts_.journal));
  changed->Commit();
  call.stages().Mark("record");
  return absl::OkStatus();
}

}  // namespace crisp::cri
