// The states of pods and containers and the transitions that exist. CRI's states are derived from
// them.
//
//   pod        Ready ──> Stopping ──> NotReady ──> Removing ──> (gone)
//              (Creating is not a state: a pod that is being made is only a name reservation)
//
//   container  Created ──> Starting ──> Running ──> Exited ──> Removing ──> (gone)
//                 │            ├─ failed: Exited, reason StartError  ^
//                 │            └─ pod stopped first: Created again   │
//                 └──── stopped or removed before its start ─────────┘
#pragma once

namespace crisp::cri {

enum class PodState { kReady = 0, kStopping = 1, kNotReady = 2, kRemoving = 3 };
enum class ContainerState { kCreated = 0, kStarting = 1, kRunning = 2, kExited = 3, kRemoving = 4 };

bool CanChange(PodState from, PodState to);
bool CanChange(ContainerState from, ContainerState to);

const char* Name(PodState state);
const char* Name(ContainerState state);

}  // namespace crisp::cri
