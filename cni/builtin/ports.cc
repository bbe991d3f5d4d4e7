#include "cni/builtin/ports.h"

#include <netinet/in.h>

#include <algorithm>

namespace crisp::cni {
namespace {

// "" and the unspecified addresses mean every address of the node.
StatusOr<std::optional<IpAddr>> HostIp(const std::string& text) {
  if (text.empty()) return std::optional<IpAddr>();
  ASSIGN_OR_RETURN(const IpAddr ip, ParseIp(text));
  const bool any = std::all_of(ip.bytes.begin(), ip.bytes.end(), [](uint8_t b) { return b == 0; });
  return any ? std::optional<IpAddr>() : std::optional<IpAddr>(ip);
}

bool IsPort(int32_t port) { return port >= 1 && port <= 65535; }

}  // namespace

std::optional<uint8_t> ProtocolNumber(absl::string_view name) {
  if (name == "tcp") return IPPROTO_TCP;
  if (name == "udp") return IPPROTO_UDP;
  if (name == "sctp") return IPPROTO_SCTP;
  return std::nullopt;
}

Status CheckPorts(const std::vector<PortMapping>& ports) {
  for (const PortMapping& port : ports) {
    if (port.host_port == 0) continue;
    if (!ProtocolNumber(port.protocol))
      return InvalidField("port_mappings.protocol", port.protocol, "not tcp, udp or sctp");
    if (!IsPort(port.host_port))
      return InvalidField("port_mappings.host_port", absl::StrCat(port.host_port), "not 1..65535");
    if (!IsPort(port.container_port))
      return InvalidField("port_mappings.container_port", absl::StrCat(port.container_port),
                          "not 1..65535");
    if (!HostIp(port.host_ip).ok())
      return InvalidField("port_mappings.host_ip", port.host_ip, "not an IP address");
  }
  return absl::OkStatus();
}

std::vector<PortForward> MakeForwards(const std::vector<PortMapping>& ports,
                                      const std::vector<IpAddr>& pod_ips) {
  std::vector<PortForward> forwards;
  for (const PortMapping& port : ports) {
    if (port.host_port == 0) continue;
    const StatusOr<std::optional<IpAddr>> host_ip = HostIp(port.host_ip);
    for (const IpAddr& pod_ip : pod_ips) {
      if (!host_ip.ok() || (*host_ip && (*host_ip)->family != pod_ip.family)) continue;
      // "0.0.0.0" says IPv4 only.
      if (!*host_ip && !port.host_ip.empty() && ParseIp(port.host_ip)->family != pod_ip.family)
        continue;
      forwards.push_back(PortForward{ProtocolNumber(port.protocol).value_or(0),
                                     static_cast<uint16_t>(port.host_port),
                                     static_cast<uint16_t>(port.container_port), *host_ip, pod_ip});
    }
  }
  return forwards;
}

}  // namespace crisp::cni
