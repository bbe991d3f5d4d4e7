// A pod's network namespace, born empty.
#pragma once

#include "cni/netlink/socket.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

struct NewNetns {
  UniqueFd fd;
  NlSocket route;  // a route socket inside it
};

// `ipv6` false: IPv6 is off before an interface exists, so that neither router advertisements nor
// link-local traffic pass by the pod's policy (CVE-2020-10749, CVE-2020-13401).
StatusOr<NewNetns> MakeNetns(bool ipv6);

// The same of a namespace that is there already, of which nothing is set up yet.
StatusOr<NewNetns> AdoptNetns(int netns_fd, bool ipv6);

// A route socket inside an existing namespace.
StatusOr<NlSocket> OpenRouteSocketIn(int netns_fd);

// Runs `work` with this thread in the namespace and comes back. A thread that cannot come back
// would do its later work in a foreign network: the process ends instead.
Status RunInNetns(int netns_fd, const std::function<Status()>& work);

}  // namespace crisp::cni
