#include "cni/builtin/bridge.h"

#include <fcntl.h>
#include <linux/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/files.h"
#include "runtime/base/pending.h"

namespace crisp::cni {
namespace {

// The gateway addresses that belong on the bridge.
std::vector<IpPrefix> GatewayAddresses(const BridgeNetwork& network) {
  std::vector<IpPrefix> addresses;
  if (!network.is_gateway) return addresses;
  for (const RangeSet& set : network.ranges) {
    for (const AddressRange& range : set) {
      const IpPrefix address{range.gateway, range.subnet.length};
      if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
        addresses.push_back(address);
    }
  }
  return addresses;
}

// Two links with the same subnet take each other's packets: better no network than a wrong one.
Status CheckAddress(NlSocket& host, const std::vector<LinkAddress>& present, int bridge_index,
                    const IpPrefix& wanted) {
  for (const LinkAddress& address : present) {
    if (address.index == bridge_index || !address.prefix.Overlaps(wanted)) continue;
    if (address.prefix.length == 0) continue;
    std::string owner = absl::StrCat("link ", address.index);
    ASSIGN_OR_RETURN(const std::vector<Link> links, ListLinks(host));
    for (const Link& link : links)
      if (link.index == address.index) owner = absl::StrCat("link ", link.name);
    return absl::FailedPreconditionError(absl::StrCat("give the bridge address ", wanted.ToString(),
                                                      ": ", owner, " has ",
                                                      address.prefix.ToString()));
  }
  return absl::OkStatus();
}

Status AddAddresses(NlSocket& host, const Link& bridge, const BridgeNetwork& network) {
  const std::vector<IpPrefix> wanted = GatewayAddresses(network);
  if (wanted.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<LinkAddress> present, ListAddresses(host));
  for (const IpPrefix& address : wanted) {
    const bool there = std::any_of(present.begin(), present.end(), [&](const LinkAddress& have) {
      return have.index == bridge.index && have.prefix == address;
    });
    if (there) continue;
    RETURN_IF_ERROR(CheckAddress(host, present, bridge.index, address));
    NlBatch batch;
    AppendAddAddress(batch, bridge.index, address);
    const Status status = host.Transact(
        batch, absl::StrCat("give ", bridge.name, " the address ", address.ToString()));
    if (!status.ok() && ErrnoOf(status) != EEXIST) return status;
  }
  return absl::OkStatus();
}

Status TurnBridgeIpv6Off(const std::string& bridge) {
  const std::string base = absl::StrCat("/proc/sys/net/ipv6/conf/", bridge, "/");
  for (const auto& [key, value] : {std::pair{"disable_ipv6", "1"}, {"accept_ra", "0"}}) {
    const Status status = WriteControlFile(AT_FDCWD, base + key, value);
    if (!status.ok() && ErrnoOf(status) != ENOENT)
      return Annotate(status, "turn IPv6 off on the bridge");
  }
  return absl::OkStatus();
}

StatusOr<Link> CreateBridge(NlSocket& host, const BridgeNetwork& network, bool* created) {
  BridgeLink bridge{network.bridge, "", network.mtu};
  // An own MAC: without one the bridge takes the lowest of its ports', which changes with each pod.
  for (const RangeSet& set : network.ranges)
    if (bridge.mac.empty() && !set.empty()) bridge.mac = MacOf(set.front().gateway);
  NlBatch batch;
  AppendCreateBridge(batch, bridge);
  const Status status = host.Transact(batch, absl::StrCat("make bridge ", network.bridge));
  if (!status.ok() && ErrnoOf(status) != EEXIST) return status;
  *created = status.ok();
  return GetLink(host, network.bridge);
}

void DeleteLink(NlSocket& host, const std::string& name) {
  NlBatch batch;
  AppendDeleteLink(batch, name);
  // The error of the step that failed is the one to report.
  host.Transact(batch, "delete link").IgnoreError();
}

// A bridge port needs no link-local address; with 1000 pods those cost more than all the rest.
Status CreateVeth(NlSocket& host, const VethLink& veth) {
  const std::string what = absl::StrCat("make veth ", veth.host_name);
  const bool link_local = veth.master == 0;
  NlBatch batch;
  AppendCreateVeth(batch, veth);
  AppendFinishVeth(batch, veth, link_local);
  const Status status = host.Transact(batch, what);
  // A kernel without IPv6, or an MTU below 1280: it is made, but not finished.
  if (link_local || ErrnoOf(status) != EAFNOSUPPORT) return status;
  NlBatch finish;
  AppendFinishVeth(finish, veth, true);
  return host.Transact(finish, what);
}

void AppendPodRoutes(NlBatch& batch, int index, const BridgeNetwork& network,
                     const std::vector<IpPrefix>& addresses) {
  for (const IpPrefix& address : addresses) {
    const int family = address.ip.family;
    std::optional<IpAddr> gateway;
    for (const RangeSet& set : network.ranges)
      if (const AddressRange* range = RangeOf(set, address.ip)) gateway = range->gateway;
    bool have_default = false;
    for (Route route : network.routes) {
      if (route.destination.ip.family != family) continue;
      if (!route.gateway) route.gateway = gateway;
      if (route.destination.length == 0) have_default = true;
      AppendAddRoute(batch, index, route);
    }
    if (!network.default_gateway || have_default || !gateway) continue;
    Route route;
    route.destination.ip.family = family;
    route.gateway = gateway;
    AppendAddRoute(batch, index, route);
  }
}

}  // namespace

bool BridgeNetwork::HasFamily(int family) const {
  for (const RangeSet& set : ranges)
    if (!set.empty() && set.front().subnet.ip.family == family) return true;
  return false;
}

std::vector<IpPrefix> BridgeNetwork::Subnets() const {
  std::vector<IpPrefix> subnets;
  for (const RangeSet& set : ranges) {
    for (const AddressRange& range : set)
      if (std::find(subnets.begin(), subnets.end(), range.subnet) == subnets.end())
        subnets.push_back(range.subnet);
  }
  return subnets;
}

StatusOr<Link> EnsureBridge(NlSocket& host, const BridgeNetwork& network) {
  bool created = false;
  StatusOr<Link> bridge = GetLink(host, network.bridge);
  if (absl::IsNotFound(bridge.status())) bridge = CreateBridge(host, network, &created);
  RETURN_IF_ERROR(bridge.status());
  if (bridge->kind != "bridge") {
    return absl::FailedPreconditionError(
        absl::StrCat("use bridge ", network.bridge, ": there is a link of that name, but it is ",
                     bridge->kind.empty() ? "a device" : bridge->kind));
  }
  Pending undo;
  if (created) undo = Pending([&] { DeleteLink(host, network.bridge); });
  // Before it is up, so that no link-local address ever exists. A foreign bridge is left as it is.
  if (created && !network.HasFamily(AF_INET6)) RETURN_IF_ERROR(TurnBridgeIpv6Off(network.bridge));
  RETURN_IF_ERROR(AddAddresses(host, *bridge, network));
  NlBatch batch;
  AppendSetLinkUp(batch, network.bridge);
  if (network.promiscuous) AppendSetPromiscuous(batch, network.bridge);
  RETURN_IF_ERROR(host.Transact(batch, absl::StrCat("set ", network.bridge, " up")));
  undo.Commit();
  return bridge;
}

Status EnableForwarding(const BridgeNetwork& network) {
  if (!network.is_gateway) return absl::OkStatus();
  if (network.HasFamily(AF_INET)) {
    RETURN_IF_ERROR(Annotate(WriteControlFile(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1"),
                             "let the node forward packets"));
  }
  if (network.HasFamily(AF_INET6)) {
    RETURN_IF_ERROR(
        Annotate(WriteControlFile(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/forwarding", "1"),
                 "let the node forward packets"));
  }
  return absl::OkStatus();
}

Status PlugCable(NlSocket& host, NlSocket& pod, int netns_fd, int bridge_index,
                 const BridgeNetwork& network, Cable* cable) {
  VethLink veth;
  veth.host_name = cable->host_name;
  veth.peer_name = cable->pod_name;
  veth.alias = cable->alias;
  veth.peer_mac = cable->mac;
  if (veth.peer_mac.empty() && !cable->addresses.empty())
    veth.peer_mac = MacOf(cable->addresses.front().ip);
  veth.peer_netns_fd = netns_fd;
  veth.master = bridge_index;
  veth.mtu = network.mtu;
  veth.hairpin = network.hairpin;
  veth.isolated = network.isolated;
  RETURN_IF_ERROR(CreateVeth(host, veth));

  ASSIGN_OR_RETURN(const Link eth0, GetLink(pod, cable->pod_name));
  cable->mac = eth0.mac;
  NlBatch batch;
  AppendSetLinkUp(batch, "lo");
  AppendSetLinkUp(batch, cable->pod_name);
  for (const IpPrefix& address : cable->addresses) AppendAddAddress(batch, eth0.index, address);
  AppendPodRoutes(batch, eth0.index, network, cable->addresses);
  return pod.Transact(batch, absl::StrCat("configure ", cable->pod_name, " of the pod"));
}

std::optional<IpPrefix> WithSubnetLength(const BridgeNetwork& network, const IpAddr& ip) {
  for (const RangeSet& set : network.ranges)
    if (const AddressRange* range = RangeOf(set, ip)) return IpPrefix{ip, range->subnet.length};
  return std::nullopt;
}

std::string MacOf(const IpAddr& ip) {
  if (ip.family != AF_INET) return "";
  return absl::StrCat("\x0a\x58", ip.view());
}

}  // namespace crisp::cni
