// The first process of a pid namespace that the containers of a pod share: ours, not an image's.
#pragma once

#include <memory>
#include <string>

#include "runtime/container/container_runtime.h"

namespace crisp::runtime {

struct Pause {
  UniqueFd pidfd;
  std::unique_ptr<Cgroup> cgroup;  // `parent`/<pod id>
};

// The keeper's name of it: never a container's id.
std::string PauseId(const std::string& pod_id);
// The pod's id if `id` is a pause's, "" otherwise.
std::string PodOfPause(const std::string& id);

// On failure nothing is left behind.
StatusOr<Pause> StartPause(const std::string& pod_id, const std::string& cgroup_parent,
                           const IdMap& id_map, const PodSandbox& pod,
                           const RuntimeContext& context);

// After a restart: what is left to look at. Null if its cgroup is gone.
std::unique_ptr<Cgroup> FindPauseCgroup(const std::string& pod_id, const std::string& cgroup_parent,
                                        const RuntimeContext& context);

}  // namespace crisp::runtime
