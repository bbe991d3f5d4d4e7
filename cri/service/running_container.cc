#include "cri/service/running_container.h"

namespace crisp::cri {

namespace {

std::shared_ptr<const runtime::ContainerSpec> Joined(const runtime::ContainerSpec& spec) {
  auto copy = std::make_shared<runtime::ContainerSpec>(spec);
  copy->joined = true;
  return copy;
}

}  // namespace

StatusOr<RunningContainer> FindRunning(PodStore& pods, const std::string& id, const char* what) {
  RunningContainer running;
  ASSIGN_OR_RETURN(running.container, pods.FindContainer(id));
  Container& container = *running.container;
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, pods.FindPod(container.pod_id));
  {
    const std::lock_guard<std::mutex> lock(container.mu);
    if (container.state != ContainerState::kRunning) {
      return absl::FailedPreconditionError(absl::StrCat(
          what, " container ", container.id, ": it is ", Name(container.state), ", not running"));
    }
    running.pidfd = container.pidfd;
    running.cgroup = container.cgroup;
    running.spec = SpecInForce(container);
    if (container.joined) running.spec = Joined(*running.spec);
  }
  running.handler = pod->runtime_handler;
  const std::lock_guard<std::mutex> lock(pod->mu);
  running.sandbox = pod->sandbox;
  if (running.sandbox) return running;
  return absl::FailedPreconditionError(absl::StrCat("pod sandbox ", pod->id, " is stopped"));
}

}  // namespace crisp::cri
