// What ExecSync and an exec with live streams have in common: the launch and the end.
#pragma once

#include <string>

#include "runtime/container/container_runtime.h"
#include "runtime/container/exec_cgroup.h"
#include "runtime/container/stdio.h"

namespace crisp::runtime {

// `pidfd`: the container's first process. `id`: what the keeper calls the exec.
// `timeout_ms`: 0: the launch has its usual time. On failure nothing of it lives on.
StatusOr<keeper::LaunchResult> LaunchExec(const ContainerSpec& spec, const Identity& identity,
                                          int pidfd, Cgroup& cgroup, const ExecCgroup& group,
                                          const Stdio& stdio, const std::string& id,
                                          const RuntimeContext& context,
                                          const std::vector<std::string>& args, int timeout_ms = 0);

// Of an exec whose pidfd says that it has ended; 255 when nobody can tell.
StatusOr<int> ExecExitCode(const RuntimeContext& context, const std::string& id, int pidfd);

// Everything that the exec started, where it has a cgroup of its own, else its process. Returns
// when that process is gone.
void KillExec(const ExecCgroup& group, int pidfd);

}  // namespace crisp::runtime
