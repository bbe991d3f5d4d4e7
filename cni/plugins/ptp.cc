// CNI plugin `ptp`: a cable without a bridge; the node routes to each pod's address.
#include <linux/netlink.h>

#include "cni/bridge_conf.h"
#include "cni/plugins/addresses.h"
#include "cni/plugins/pod_link.h"
#include "cni/plugins/protocol.h"
#include "runtime/base/pending.h"

namespace crisp::cni {
namespace {

struct PtpOptions {
  bool masquerade = false;
  uint32_t mtu = 0;
};

StatusOr<PtpOptions> Options(const PluginRequest& request) {
  // A subset of the options of bridge, with the same meaning.
  Json config = Json::object();
  for (const auto& [key, value] : request.config.items()) {
    if (key == "ipMasq" || key == "mtu" || key == "ipMasqBackend") {
      config[key] = value;
    } else if (key != "type" && key != "ipam" && key != "dns" && key != "capabilities") {
      return absl::UnimplementedError(absl::StrCat("ptp.", key, ": not known"));
    }
  }
  ASSIGN_OR_RETURN(const BridgeNetwork parsed, ParseBridgePlugin(config, request.network));
  return PtpOptions{parsed.masquerade, parsed.mtu};
}

IpPrefix Alone(const IpAddr& ip) { return IpPrefix{ip, static_cast<int>(ip.size()) * 8}; }

// The pod reaches the gateway directly and all else by it, its own subnet too.
void AppendPodSide(NlBatch& batch, int index, const AddResult& addresses) {
  for (const PluginIp& ip : addresses.ips) {
    AppendAddAddress(batch, index, Alone(ip.address.ip));
    Route to_gateway, to_subnet;
    to_gateway.destination = Alone(*ip.gateway);
    to_gateway.on_link = true;
    to_subnet.destination = IpPrefix{ip.address.Masked(), ip.address.length};
    to_subnet.gateway = ip.gateway;
    AppendAddRoute(batch, index, to_gateway);
    AppendAddRoute(batch, index, to_subnet);
    for (Route route : addresses.routes) {
      if (route.destination.ip.family != ip.address.ip.family) continue;
      if (!route.gateway) route.gateway = ip.gateway;
      AppendAddRoute(batch, index, route);
    }
  }
}

void AppendHostSide(NlBatch& batch, int index, const AddResult& addresses) {
  for (const PluginIp& ip : addresses.ips) {
    AppendAddAddress(batch, index, Alone(*ip.gateway));
    Route to_pod;
    to_pod.destination = Alone(ip.address.ip);
    to_pod.on_link = true;
    AppendAddRoute(batch, index, to_pod);
  }
}

Status CheckGateways(const AddResult& addresses) {
  if (addresses.ips.empty()) return InvalidField("ipam", "", "gave no address");
  for (const PluginIp& ip : addresses.ips)
    if (!ip.gateway) return InvalidField("ipam", ip.address.ToString(), "came without a gateway");
  return absl::OkStatus();
}

StatusOr<Json> Add(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const PtpOptions options, Options(request));
  ASSIGN_OR_RETURN(PodNetns pod, OpenPodNetns(request.netns));
  ASSIGN_OR_RETURN(AddResult addresses, AllocateAddresses(request));
  Pending free_addresses([&] { ReleaseAddresses(request).IgnoreError(); });
  RETURN_IF_ERROR(CheckGateways(addresses));

  ASSIGN_OR_RETURN(NlSocket host, NlSocket::Open(NETLINK_ROUTE));
  if (GetLink(pod.route, request.ifname).ok())
    return absl::AlreadyExistsError(absl::StrCat("the pod already has ", request.ifname));
  BridgeNetwork no_bridge;
  no_bridge.mtu = options.mtu;
  Cable cable;
  cable.host_name = NewVethName();
  cable.pod_name = request.ifname;
  Pending unplug([&] {
    NlBatch batch;
    AppendDeleteLink(batch, cable.host_name);
    host.Transact(batch, "delete link").IgnoreError();
  });
  RETURN_IF_ERROR(PlugCable(host, pod.route, pod.fd.get(), 0, no_bridge, &cable));
  ASSIGN_OR_RETURN(const Link pod_end, GetLink(pod.route, request.ifname));
  ASSIGN_OR_RETURN(const Link host_end, GetLink(host, cable.host_name));
  NlBatch host_side, pod_side;
  AppendHostSide(host_side, host_end.index, addresses);
  RETURN_IF_ERROR(host.Transact(host_side, absl::StrCat("route to the pod by ", host_end.name)));
  AppendPodSide(pod_side, pod_end.index, addresses);
  RETURN_IF_ERROR(pod.route.Transact(pod_side, absl::StrCat("configure ", request.ifname)));

  BridgeNetwork forwarding;
  forwarding.is_gateway = true;
  for (const PluginIp& ip : addresses.ips) {
    AddressRange range;
    range.subnet = ip.address;
    forwarding.ranges.push_back({range});
  }
  RETURN_IF_ERROR(EnableForwarding(forwarding));
  if (options.masquerade) RETURN_IF_ERROR(EnsureMasquerade("ptp", SubnetsOf(addresses), true));
  unplug.Commit();
  free_addresses.Commit();
  addresses.interfaces = {{host_end.name, MacText(host_end.mac), ""},
                          {request.ifname, MacText(pod_end.mac), request.netns}};
  for (PluginIp& ip : addresses.ips) ip.interface = 1;
  return FormatResult(addresses, request.version);
}

Status Del(const PluginRequest& request) {
  RETURN_IF_ERROR(DeletePodLink(request));
  return ReleaseAddresses(request);
}

Status Check(const PluginRequest& request) {
  RETURN_IF_ERROR(CheckAddresses(request));
  return CheckPodLink(request);
}

}  // namespace
}  // namespace crisp::cni

int main() {
  using namespace crisp::cni;
  return PluginMain("ptp", {Add, Del, Check, CollectAddresses, AddressesStatus});
}
