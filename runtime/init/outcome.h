// Results of a launch.
#pragma once

#include <string.h>

#include "runtime/init/child.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/retry.h"

namespace crisp::init {

inline LaunchOutcome Failed(Step step, int err, const char* text) {
  LaunchOutcome outcome;
  outcome.err = err;
  outcome.step = static_cast<int>(step);
  strncpy(outcome.text, text, sizeof(outcome.text) - 1);
  return outcome;
}

inline LaunchOutcome Failed(const Report& report) {
  return Failed(static_cast<Step>(report.step), report.err, report.text);
}

inline LaunchOutcome Running(pid_t pid, int pidfd) {
  LaunchOutcome outcome;
  outcome.step = static_cast<int>(Step::kExecve);
  outcome.pid = pid;
  outcome.pidfd = pidfd;
  return outcome;
}

// The child puts stdio on 0..2: nothing else of the packet may be there.
inline bool AllAboveStdio(const int* fds, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (fds[i] < 3) return false;
  }
  return true;
}

// Collects a child that is dead or dying, and closes its pidfd.
inline void Reap(int pidfd) {
  siginfo_t info;
  sys::Retry([&] {
    return waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED);
  });
  close(pidfd);
}

}  // namespace crisp::init
