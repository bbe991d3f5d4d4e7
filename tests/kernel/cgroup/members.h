// Processes that the tests put into cgroups.
#pragma once

#include <sys/types.h>

#include <functional>

#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// Clones into the cgroup as a launch does (v2 by CLONE_INTO_CGROUP, v1 by writing 0 to the task
// files), then runs `body` and exits with its result; 250 when joining failed.
pid_t StartMember(const Cgroup& group, const std::function<int()>& body);
int ExitStatusOf(pid_t pid);  // waits; 128 + signal
int RunMember(const Cgroup& group, const std::function<int()>& body);
// Reaps everything that is left: the tests are a subreaper.
void ReapAll();

}  // namespace crisp::runtime
