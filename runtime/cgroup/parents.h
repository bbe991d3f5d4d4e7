// Directories of cgroups: made in every hierarchy, with what a new one needs before a task may
// join.
#pragma once

#include <string>

#include "runtime/cgroup/state.h"

namespace crisp::runtime {

// Makes the parents of `path` where they are missing and remembers which.
Status MakeParents(HostState& state, const std::string& path);
// The topmost of the parents that is missing, "" if none is.
std::string TopMissingParent(const HostState& state, const std::string& path);
// Counts the parents of `path` from `top` downwards as made by us; "" = none.
void RememberParents(HostState& state, const std::string& top, const std::string& path);
// After a removal: parents that we made (this run or, by a mark in the v2 tree, an earlier one) and
// that are empty now go too. Errors do not matter: a busy parent stays.
void RemoveEmptyParents(HostState& state, const std::string& path);

// v1: a new cpuset is empty, and no task can join it until it has its parent's CPUs and nodes.
Status FillCpuset(const Hierarchy& cpuset, const std::string& path);
// Enables v2 controllers for the children of `path` and of all its ancestors, where available.
Status EnableControllers(const Hierarchy& v2, const std::string& path,
                         const std::vector<std::string>& wanted);

}  // namespace crisp::runtime
