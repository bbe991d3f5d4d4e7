// A connection to a port of a pod, from outside of its network: port-forward.
#pragma once

#include <chrono>
#include <cstdint>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// TCP to 127.0.0.1:`port`, then [::1]:`port`, of the network namespace `net` (-1: our own, of a pod
// with host network). Nagle is off. The connection outlives neither namespace nor pod on purpose:
// whoever holds it keeps the namespace alive until it is closed.
StatusOr<UniqueFd> DialPod(int net, uint16_t port, std::chrono::milliseconds limit);

}  // namespace crisp::runtime
