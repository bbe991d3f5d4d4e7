// A container as an exec or an attachment needs it: running, with what a launch in it takes.
#pragma once

#include <memory>
#include <string>

#include "cri/pods/pod_store.h"

namespace crisp::cri {

struct RunningContainer {
  std::shared_ptr<Container> container;
  std::shared_ptr<UniqueFd> pidfd;  // of its first process
  std::shared_ptr<runtime::Cgroup> cgroup;
  std::shared_ptr<const runtime::ContainerSpec> spec;  // in force: with its updates
  std::shared_ptr<const runtime::PodSandbox> sandbox;
  std::string handler;  // the pod's runtime handler
};

// NOT_FOUND; FAILED_PRECONDITION "exec in container ID: it is exited, not running". `what`: "exec
// in".
StatusOr<RunningContainer> FindRunning(PodStore& pods, const std::string& id, const char* what);

}  // namespace crisp::cri
