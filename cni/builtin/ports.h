// Published ports of a pod: what the CRI says, checked, and as forwards to the pod's addresses.
#pragma once

#include <vector>

#include "cni/netlink/nft.h"
#include "cni/pod_network.h"

namespace crisp::cni {

// INVALID_ARGUMENT for what cannot be published; entries without a host port are not looked at.
Status CheckPorts(const std::vector<PortMapping>& ports);

// A forward for each mapping and each address of a fitting family.
std::vector<PortForward> MakeForwards(const std::vector<PortMapping>& ports,
                                      const std::vector<IpAddr>& pod_ips);

std::optional<uint8_t> ProtocolNumber(absl::string_view name);

}  // namespace crisp::cni
