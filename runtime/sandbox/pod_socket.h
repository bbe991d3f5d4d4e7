// A socket in a pod's network, for whoever stands outside of it: port-forward.
#pragma once

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// SOCK_STREAM of `family` in the network namespace `net` (-1: our own, of a pod with host network):
// not connected, non-blocking, without Nagle's delay. A socket belongs to the namespace that it was
// made in, so all else happens outside; it keeps the namespace alive until it is closed.
StatusOr<UniqueFd> MakePodSocket(int net, int family);

}  // namespace crisp::runtime
