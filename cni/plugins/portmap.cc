// CNI plugin `portmap`: publishes ports of a pod that an earlier plugin of the chain connected.
#include <linux/netlink.h>

#include "cni/builtin/ports.h"
#include "cni/netlink/nft.h"
#include "cni/plugins/pod_link.h"
#include "cni/plugins/protocol.h"

namespace crisp::cni {
namespace {

struct Published {
  std::string table;
  std::vector<PortForward> forwards;
  std::vector<IpPrefix> subnets;
};

Status CheckOptions(const Json& config) {
  for (const auto& [key, value] : config.items()) {
    const bool known = key == "type" || key == "capabilities" || key == "backend" ||
                       key == "masqAll" || key == "markMasqBit" || (key == "snat" && value == true);
    if (!known || (key == "masqAll" && value != false))
      return absl::UnimplementedError(absl::StrCat("portmap.", key, ": not known"));
  }
  return absl::OkStatus();
}

StatusOr<std::vector<PortMapping>> Mappings(const PluginRequest& request) {
  std::vector<PortMapping> mappings;
  if (!request.runtime.is_object()) return mappings;
  const Json entries = request.runtime.value("portMappings", Json::array());
  if (!entries.is_array() && !entries.is_null())
    return InvalidField("runtimeConfig.portMappings", entries.dump(), "not a list");
  for (const Json& entry : entries) {
    PortMapping mapping;
    mapping.protocol = JsonString(entry, "protocol", "tcp");
    mapping.host_ip = JsonString(entry, "hostIP");
    for (const auto& [key, port] :
         {std::pair{"hostPort", &mapping.host_port}, {"containerPort", &mapping.container_port}}) {
      if (!entry.is_object() || !entry.contains(key) || !entry[key].is_number_unsigned() ||
          entry[key].get<uint64_t>() > 65535)
        return InvalidField("runtimeConfig.portMappings", entry.dump(), "bad port");
      *port = entry[key].get<int32_t>();
    }
    mappings.push_back(mapping);
  }
  RETURN_IF_ERROR(CheckPorts(mappings));
  return mappings;
}

StatusOr<Published> Plan(const PluginRequest& request) {
  RETURN_IF_ERROR(CheckOptions(request.config));
  ASSIGN_OR_RETURN(const std::vector<PortMapping> mappings, Mappings(request));
  Published published;
  if (mappings.empty() || request.previous.is_null()) return published;
  ASSIGN_OR_RETURN(const AddResult previous, ParseAddResult(request.previous));
  std::vector<IpAddr> ips;
  for (const PluginIp& ip : previous.ips) {
    const size_t at = static_cast<size_t>(std::max(ip.interface, 0));
    const bool outside = ip.interface >= 0 && at < previous.interfaces.size() &&
                         previous.interfaces[at].sandbox.empty();
    if (!outside) ips.push_back(ip.address.ip);
  }
  published.subnets = SubnetsOf(previous);
  published.table = PluginTableName("ports", published.subnets);
  published.forwards = MakeForwards(mappings, ips);
  return published;
}

StatusOr<Json> Add(const PluginRequest& request) {
  if (request.previous.is_null())
    return InvalidField("prevResult", "", "portmap must come after a plugin that gives addresses");
  ASSIGN_OR_RETURN(const Published published, Plan(request));
  if (!published.forwards.empty()) {
    RETURN_IF_ERROR(EnsureMasquerade("ports", published.subnets, false));
    ASSIGN_OR_RETURN(NlSocket socket, NlSocket::Open(NETLINK_NETFILTER));
    RETURN_IF_ERROR(AddPortForwards(socket, published.table, published.forwards));
  }
  return request.previous;
}

Status Del(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const Published published, Plan(request));
  if (published.forwards.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(NlSocket socket, NlSocket::Open(NETLINK_NETFILTER));
  return DeletePortForwards(socket, published.table, published.forwards);
}

Status Check(const PluginRequest& request) { return Plan(request).status(); }

}  // namespace
}  // namespace crisp::cni

int main() {
  using namespace crisp::cni;
  return PluginMain("portmap", {Add, Del, Check, nullptr, nullptr});
}
