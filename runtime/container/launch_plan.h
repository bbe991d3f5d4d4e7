// ContainerSpec -> launch plan and the descriptors that it names.
#pragma once

#include <string>
#include <vector>

#include "runtime/container/container_runtime.h"
#include "runtime/container/stdio.h"

namespace crisp::runtime {

struct LaunchPlan {
  std::string bytes;
  std::vector<int> fds;         // borrowed from what the plan was made of, and from `owned`
  std::vector<UniqueFd> owned;  // copies of the pod's mounts
};

// Takes no ownership of anything in `prepared`; its mounts are used up by the launch. `pid`: pidfd
// of a process whose pid namespace is joined, -1 for none.
StatusOr<LaunchPlan> MakeStartPlan(const PreparedContainer& prepared, const PodSandbox& pod,
                                   const std::vector<int>& v1_tasks, const Stdio& stdio, int pid,
                                   const KernelFeatures& features);

// `cgroup_v2`: -1 or the directory to be born in.
StatusOr<LaunchPlan> MakeExecPlan(const ContainerSpec& spec, const Identity& identity, int pidfd,
                                  int cgroup_v2, const std::vector<int>& v1_tasks,
                                  const Stdio& stdio, const std::vector<std::string>& args);

// What the host calls the container's user: the owner of its pipes and its terminal.
uint32_t HostUid(const ContainerSpec& spec, const Identity& identity);

// Directories and files that the container gets beyond spec.mounts must not be hidden below those:
// whether a mount of the pod lies exactly on `path`.
bool CoversPath(const ContainerSpec& spec, const std::string& path);

}  // namespace crisp::runtime
