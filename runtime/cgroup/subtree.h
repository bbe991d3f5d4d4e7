// Walking a cgroup and its children in one hierarchy.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/cgroup/hierarchy.h"

namespace crisp::runtime {

// `path` and every directory below it, children before parents; empty when it does not exist.
StatusOr<std::vector<std::string>> Subtree(const Hierarchy& h, const std::string& path);

// Members of the subtree, sorted, without duplicates. 0 stands for processes that this pid
// namespace does not show.
StatusOr<std::vector<pid_t>> PidsOf(const Hierarchy& h, const std::string& path);

// rmdir, children first; a missing one is fine.
Status RemoveSubtree(const Hierarchy& h, const std::string& path);

}  // namespace crisp::runtime
