// CNI plugin `bridge`: the same bridge and cable as the daemon makes in process.
#include <linux/netlink.h>

#include "cni/bridge_conf.h"
#include "cni/plugins/addresses.h"
#include "cni/plugins/pod_link.h"
#include "cni/plugins/protocol.h"
#include "runtime/base/pending.h"

namespace crisp::cni {
namespace {

StatusOr<BridgeNetwork> Options(const PluginRequest& request) {
  Json config = request.config;
  config.erase("dns");
  // The addresses are a matter of their own: `ipam` may be anybody's.
  config.erase("ipam");
  return ParseBridgePlugin(config, request.network);
}

// The addresses' own subnets and gateways, as whoever gave them says.
void UseAddresses(const AddResult& addresses, BridgeNetwork* network, Cable* cable) {
  for (const PluginIp& ip : addresses.ips) {
    AddressRange range;
    range.subnet = IpPrefix{ip.address.Masked(), ip.address.length};
    range.first = range.last = ip.address.ip;
    range.gateway = ip.gateway.value_or(Plus(range.subnet.ip, 1));
    network->ranges.push_back({range});
    cable->addresses.push_back(ip.address);
  }
  network->routes = addresses.routes;
}

AddResult MakeResult(const PluginRequest& request, const Link& bridge, const Link& host_end,
                     const BridgeNetwork& network, const Cable& cable, AddResult addresses) {
  addresses.interfaces = {{bridge.name, MacText(bridge.mac), ""},
                          {host_end.name, MacText(host_end.mac), ""},
                          {request.ifname, MacText(cable.mac), request.netns}};
  for (size_t i = 0; i < addresses.ips.size(); ++i) {
    addresses.ips[i].interface = 2;
    if (network.is_gateway) addresses.ips[i].gateway = network.ranges[i].front().gateway;
    if (!network.default_gateway) continue;
    Route route;
    route.destination.ip.family = addresses.ips[i].address.ip.family;
    route.gateway = addresses.ips[i].gateway;
    addresses.routes.push_back(route);
  }
  return addresses;
}

StatusOr<std::string> RequestedMac(const PluginRequest& request) {
  std::string text = JsonString(request.runtime, "mac", JsonString(request.cni_args, "mac"));
  if (const auto mac = request.args.find("MAC"); mac != request.args.end()) text = mac->second;
  return text.empty() ? std::string() : ParseMac(text);
}

StatusOr<Json> Add(const PluginRequest& request) {
  ASSIGN_OR_RETURN(BridgeNetwork network, Options(request));
  Cable cable;
  cable.host_name = NewVethName();
  cable.pod_name = request.ifname;
  ASSIGN_OR_RETURN(cable.mac, RequestedMac(request));
  ASSIGN_OR_RETURN(PodNetns pod, OpenPodNetns(request.netns));
  ASSIGN_OR_RETURN(const AddResult addresses, AllocateAddresses(request));
  Pending free_addresses([&] { ReleaseAddresses(request).IgnoreError(); });
  UseAddresses(addresses, &network, &cable);

  ASSIGN_OR_RETURN(NlSocket host, NlSocket::Open(NETLINK_ROUTE));
  ASSIGN_OR_RETURN(const Link bridge, EnsureBridge(host, network));
  if (absl::IsNotFound(GetLink(pod.route, request.ifname).status()) == false)
    return absl::AlreadyExistsError(absl::StrCat("the pod already has ", request.ifname));
  Pending unplug([&] {
    NlBatch batch;
    AppendDeleteLink(batch, cable.host_name);
    host.Transact(batch, "delete link").IgnoreError();
  });
  RETURN_IF_ERROR(PlugCable(host, pod.route, pod.fd.get(), bridge.index, network, &cable));
  RETURN_IF_ERROR(EnableForwarding(network));
  if (network.masquerade)
    RETURN_IF_ERROR(EnsureMasquerade(network.bridge, SubnetsOf(addresses), true));
  ASSIGN_OR_RETURN(const Link host_end, GetLink(host, cable.host_name));
  unplug.Commit();
  free_addresses.Commit();
  return FormatResult(MakeResult(request, bridge, host_end, network, cable, addresses),
                      request.version);
}

// The cable first: an address must not be given out again while packets for it still arrive here.
Status Del(const PluginRequest& request) {
  RETURN_IF_ERROR(DeletePodLink(request));
  return ReleaseAddresses(request);
}

Status Check(const PluginRequest& request) {
  RETURN_IF_ERROR(CheckAddresses(request));
  ASSIGN_OR_RETURN(const BridgeNetwork network, Options(request));
  ASSIGN_OR_RETURN(NlSocket host, NlSocket::Open(NETLINK_ROUTE));
  ASSIGN_OR_RETURN(const Link bridge, GetLink(host, network.bridge));
  if (bridge.kind != "bridge")
    return absl::FailedPreconditionError(absl::StrCat(network.bridge, " is not a bridge"));
  return CheckPodLink(request);
}

}  // namespace
}  // namespace crisp::cni

int main() {
  using namespace crisp::cni;
  return PluginMain("bridge", {Add, Del, Check, CollectAddresses, AddressesStatus});
}
