#include "cri/pods/lifecycle.h"

namespace crisp::cri {

bool CanChange(PodState from, PodState to) {
  using S = PodState;
  switch (from) {
    case S::kReady:
      return to == S::kStopping;
    case S::kStopping:
      return to == S::kNotReady;
    case S::kNotReady:
      return to == S::kRemoving;
    case S::kRemoving:
      return false;
  }
  return false;
}

bool CanChange(ContainerState from, ContainerState to) {
  using S = ContainerState;
  switch (from) {
    case S::kCreated:
      return to == S::kStarting || to == S::kExited || to == S::kRemoving;
    case S::kStarting:
      return to == S::kRunning || to == S::kExited || to == S::kCreated;
    case S::kRunning:
      return to == S::kExited;
    case S::kExited:
      return to == S::kRemoving;
    case S::kRemoving:
      return false;
  }
  return false;
}

const char* Name(PodState state) {
  constexpr const char* kNames[] = {"ready", "stopping", "not ready", "removing"};
  return kNames[static_cast<int>(state)];
}

const char* Name(ContainerState state) {
  constexpr const char* kNames[] = {"created", "starting", "running", "exited", "removing"};
  return kNames[static_cast<int>(state)];
}

}  // namespace crisp::cri
