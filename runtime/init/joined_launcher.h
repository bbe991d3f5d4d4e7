// A start whose first process enters a pid namespace where others are, or belongs to a user
// namespace: a stub with memory of its own does what is done before, and clones the process with
// CLONE_PARENT, so that it is the keeper's child all the same.
#pragma once

#include "runtime/init/launcher.h"
#include "runtime/init/plan_view.h"

namespace crisp::init {

// R4: our memory may be shared only with the first process of a new pid namespace, and not with one
// that a user namespace's root has power over.
inline bool NeedsOwnMemory(const PlanHeader& head) {
  return head.user != kNoFd || head.pid != kNoFd || (head.flags & kPlanHostPid) != 0;
}

LaunchOutcome LaunchJoined(const PlanView& plan, const int* fds, LaunchWatch* watch);

}  // namespace crisp::init
