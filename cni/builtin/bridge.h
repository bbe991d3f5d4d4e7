// The node's side of a bridge network: the bridge with the gateway address, and a pod's cable.
#pragma once

#include <string>
#include <vector>

#include "cni/builtin/host_local.h"
#include "cni/netlink/link.h"
#include "runtime/base/status.h"

namespace crisp::cni {

// What the options of the CNI plugins bridge + host-local (+ portmap) say, with their defaults.
struct BridgeNetwork {
  std::string name;  // of the conflist
  std::string bridge = "cni0";
  bool is_gateway = false, default_gateway = false, masquerade = false;
  bool hairpin = false, promiscuous = false, force_address = false, isolated = false;
  bool publish_ports = false;
  uint32_t mtu = 0;
  std::vector<RangeSet> ranges;
  std::vector<Route> routes;
  std::string data_dir;  // of host-local: reservations of other runtimes; empty: none to look at

  bool HasFamily(int family) const;
  std::vector<IpPrefix> Subnets() const;
};

// Makes the bridge or takes the one that is there; gives it the gateway addresses.
// FAILED_PRECONDITION when the name belongs to another kind of link or the subnet to another link.
StatusOr<Link> EnsureBridge(NlSocket& host, const BridgeNetwork& network);

// Writes 1 to ip_forward (and IPv6's) of this thread's namespace.
Status EnableForwarding(const BridgeNetwork& network);

struct Cable {
  std::string host_name, pod_name = "eth0", alias;
  std::vector<IpPrefix> addresses;
  std::string mac;  // of the pod's end, raw; set when the kernel was asked
};

// Puts the cable between bridge and pod; afterwards lo and eth0 are up, with addresses and routes.
// On failure the host end may exist: the caller deletes it, or lets go of the pod's namespace.
Status PlugCable(NlSocket& host, NlSocket& pod, int netns_fd, int bridge_index,
                 const BridgeNetwork& network, Cable* cable);

// The address as a host of its subnet; nullopt if the network has no such range.
std::optional<IpPrefix> WithSubnetLength(const BridgeNetwork& network, const IpAddr& ip);

// 0a:58 + IPv4 address: an address that is given out again keeps its MAC, so no ARP cache is wrong.
std::string MacOf(const IpAddr& ip);

}  // namespace crisp::cni
