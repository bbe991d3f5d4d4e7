#include "cni/bridge_conf.h"

#include <algorithm>
#include <array>

namespace crisp::cni {
namespace {

constexpr uint32_t kMinMtu = 68, kMaxMtu = 65535;
constexpr size_t kMaxRanges = 64;

Status CheckKeys(const Json& object, absl::string_view where,
                 std::initializer_list<absl::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return absl::UnimplementedError(absl::StrCat(where, ".", key, ": not known"));
  }
  return absl::OkStatus();
}

Status ReadBool(const Json& object, const char* key, bool* value) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return absl::OkStatus();
  if (!it->is_boolean()) return InvalidField(key, it->dump(), "not a boolean");
  *value = it->get<bool>();
  return absl::OkStatus();
}

Status ReadNumber(const Json& object, const char* key, uint32_t low, uint32_t high,
                  uint32_t* value) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return absl::OkStatus();
  if (!it->is_number_unsigned() || it->get<uint64_t>() > high ||
      (it->get<uint64_t>() < low && it->get<uint64_t>() != 0))
    return InvalidField(key, it->dump(), absl::StrCat("not 0 or ", low, "..", high));
  *value = it->get<uint32_t>();
  return absl::OkStatus();
}

Status ReadText(const Json& object, const char* key, std::string* value) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return absl::OkStatus();
  if (!it->is_string()) return InvalidField(key, it->dump(), "not a string");
  *value = it->get<std::string>();
  return absl::OkStatus();
}

StatusOr<std::optional<IpAddr>> ReadIp(const Json& object, const char* key) {
  std::string text;
  RETURN_IF_ERROR(ReadText(object, key, &text));
  if (text.empty()) return std::optional<IpAddr>();
  const StatusOr<IpAddr> ip = ParseIp(text);
  if (!ip.ok()) return InvalidField(key, text, "not an IP address");
  return std::optional<IpAddr>(*ip);
}

bool IsLinkName(const std::string& name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) {
           return isspace(c) || c == '/' || c == ':' || c < ' ' || c > '~';
         });
}

StatusOr<AddressRange> ParseRange(const Json& json) {
  if (!json.is_object()) return InvalidField("ipam.ranges", json.dump(), "not an object");
  RETURN_IF_ERROR(CheckKeys(json, "ipam.ranges", {"subnet", "rangeStart", "rangeEnd", "gateway"}));
  std::string text;
  RETURN_IF_ERROR(ReadText(json, "subnet", &text));
  const StatusOr<IpPrefix> subnet = ParsePrefix(text);
  if (!subnet.ok()) return InvalidField("ipam.subnet", text, "not a subnet like 10.1.0.0/16");
  ASSIGN_OR_RETURN(const std::optional<IpAddr> first, ReadIp(json, "rangeStart"));
  ASSIGN_OR_RETURN(const std::optional<IpAddr> last, ReadIp(json, "rangeEnd"));
  ASSIGN_OR_RETURN(const std::optional<IpAddr> gateway, ReadIp(json, "gateway"));
  return MakeRange(*subnet, first, last, gateway);
}

Status CheckOverlap(const std::vector<RangeSet>& sets) {
  std::vector<const AddressRange*> all;
  for (const RangeSet& set : sets) {
    for (const AddressRange& range : set) {
      if (range.subnet.ip.family != set.front().subnet.ip.family)
        return InvalidField("ipam.ranges", range.subnet.ToString(), "mixes IPv4 and IPv6 in a set");
      for (const AddressRange* other : all)
        if (!(range.last < other->first) && !(other->last < range.first))
          return InvalidField("ipam.ranges", range.subnet.ToString(), "overlaps another range");
      all.push_back(&range);
    }
  }
  return absl::OkStatus();
}

Status ParseRanges(const Json& ipam, BridgeNetwork* network) {
  // The older form: one range in the ipam object itself; it comes first.
  if (ipam.contains("subnet")) {
    Json range = Json::object();
    for (const char* key : {"subnet", "rangeStart", "rangeEnd", "gateway"})
      if (ipam.contains(key)) range[key] = ipam[key];
    ASSIGN_OR_RETURN(const AddressRange parsed, ParseRange(range));
    network->ranges.push_back({parsed});
  }
  const Json sets = ipam.value("ranges", Json::array());
  if (!sets.is_array() || sets.size() > kMaxRanges)
    return InvalidField("ipam.ranges", "", absl::StrCat("not a list of up to ", kMaxRanges));
  for (const Json& set : sets) {
    if (!set.is_array() || set.empty() || set.size() > kMaxRanges)
      return InvalidField("ipam.ranges", set.dump(), "not a list of ranges");
    RangeSet ranges;
    for (const Json& range : set) {
      ASSIGN_OR_RETURN(const AddressRange parsed, ParseRange(range));
      ranges.push_back(parsed);
    }
    network->ranges.push_back(std::move(ranges));
  }
  if (network->ranges.empty()) return InvalidField("ipam", "", "no subnet and no ranges");
  return CheckOverlap(network->ranges);
}

Status ParseRoutes(const Json& ipam, BridgeNetwork* network) {
  const Json routes = ipam.value("routes", Json::array());
  if (!routes.is_array() && !routes.is_null())
    return InvalidField("ipam.routes", routes.dump(), "not a list");
  for (const Json& json : routes) {
    if (!json.is_object()) return InvalidField("ipam.routes", json.dump(), "not an object");
    RETURN_IF_ERROR(CheckKeys(json, "ipam.routes", {"dst", "gw", "mtu", "priority"}));
    Route route;
    std::string text;
    RETURN_IF_ERROR(ReadText(json, "dst", &text));
    const StatusOr<IpPrefix> destination = ParsePrefix(text);
    if (!destination.ok()) return InvalidField("ipam.routes.dst", text, "not a subnet");
    route.destination = *destination;
    ASSIGN_OR_RETURN(route.gateway, ReadIp(json, "gw"));
    if (route.gateway && route.gateway->family != route.destination.ip.family)
      return InvalidField("ipam.routes.gw", route.gateway->ToString(), "not of dst's family");
    RETURN_IF_ERROR(ReadNumber(json, "mtu", kMinMtu, kMaxMtu, &route.mtu));
    RETURN_IF_ERROR(ReadNumber(json, "priority", 0, 0x7fffffff, &route.priority));
    network->routes.push_back(route);
  }
  return absl::OkStatus();
}

// portmap with its defaults; other values change what is masqueraded.
Status ParsePortmap(const Json& config) {
  RETURN_IF_ERROR(CheckKeys(config, "portmap", {"type", "capabilities", "snat", "backend"}));
  bool snat = true;
  RETURN_IF_ERROR(ReadBool(config, "snat", &snat));
  return snat ? absl::OkStatus() : absl::UnimplementedError("portmap.snat: false is not known");
}

}  // namespace

Status ParseHostLocal(const Json& ipam, BridgeNetwork* network) {
  RETURN_IF_ERROR(CheckKeys(
      ipam, "ipam",
      {"type", "subnet", "rangeStart", "rangeEnd", "gateway", "ranges", "routes", "dataDir"}));
  network->data_dir = kHostLocalDir;
  RETURN_IF_ERROR(ReadText(ipam, "dataDir", &network->data_dir));
  if (network->data_dir.empty()) network->data_dir = kHostLocalDir;
  if (network->data_dir[0] != '/')
    return InvalidField("ipam.dataDir", network->data_dir, "not an absolute path");
  RETURN_IF_ERROR(ParseRanges(ipam, network));
  return ParseRoutes(ipam, network);
}

StatusOr<BridgeNetwork> ParseBridgePlugin(const Json& config, const std::string& network_name) {
  RETURN_IF_ERROR(
      CheckKeys(config, "bridge",
                {"type", "name", "cniVersion", "bridge", "isGateway", "isDefaultGateway",
                 "forceAddress", "ipMasq", "ipMasqBackend", "mtu", "hairpinMode", "promiscMode",
                 "portIsolation", "capabilities", "ipam"}));
  BridgeNetwork network;
  network.name = network_name;
  RETURN_IF_ERROR(ReadText(config, "bridge", &network.bridge));
  if (!IsLinkName(network.bridge))
    return InvalidField("bridge", network.bridge, "not a link name (1 to 15 characters)");
  RETURN_IF_ERROR(ReadBool(config, "isGateway", &network.is_gateway));
  RETURN_IF_ERROR(ReadBool(config, "isDefaultGateway", &network.default_gateway));
  RETURN_IF_ERROR(ReadBool(config, "forceAddress", &network.force_address));
  RETURN_IF_ERROR(ReadBool(config, "ipMasq", &network.masquerade));
  RETURN_IF_ERROR(ReadBool(config, "hairpinMode", &network.hairpin));
  RETURN_IF_ERROR(ReadBool(config, "promiscMode", &network.promiscuous));
  RETURN_IF_ERROR(ReadBool(config, "portIsolation", &network.isolated));
  RETURN_IF_ERROR(ReadNumber(config, "mtu", kMinMtu, kMaxMtu, &network.mtu));
  if (network.default_gateway) network.is_gateway = true;
  if (network.hairpin && network.promiscuous)
    return InvalidField("promiscMode", "true", "excludes hairpinMode");
  const Json ipam = config.value("ipam", Json::object());
  if (!ipam.is_object()) return InvalidField("ipam", ipam.dump(), "not an object");
  if (JsonString(ipam, "type") == "host-local") RETURN_IF_ERROR(ParseHostLocal(ipam, &network));
  return network;
}

StatusOr<std::optional<BridgeNetwork>> ParseInProcess(const ConfList& list) {
  const std::optional<BridgeNetwork> others;
  std::optional<BridgeNetwork> network;
  for (const ConfPlugin& plugin : list.plugins) {
    if (plugin.type == "bridge" && !network) {
      StatusOr<BridgeNetwork> parsed = ParseBridgePlugin(plugin.config, list.name);
      if (absl::IsUnimplemented(parsed.status())) return others;
      RETURN_IF_ERROR(Annotate(parsed.status(), "plugin bridge"));
      if (parsed->ranges.empty()) return others;
      network = std::move(*parsed);
    } else if (plugin.type == "portmap" && network && !network->publish_ports) {
      const Status status = ParsePortmap(plugin.config);
      if (absl::IsUnimplemented(status)) return others;
      RETURN_IF_ERROR(Annotate(status, "plugin portmap"));
      network->publish_ports = plugin.capabilities.count("portMappings") > 0;
    } else if (plugin.type != "loopback") {
      return others;
    }
  }
  return network;
}

StatusOr<ConfList> BuiltinConfList(const std::string& bridge, const std::string& subnet) {
  const Json range = {{"subnet", subnet}};
  const Json bridge_plugin = {
      {"type", "bridge"},
      {"bridge", bridge},
      {"isDefaultGateway", true},
      {"ipMasq", true},
      {"hairpinMode", true},
      {"ipam", {{"type", "host-local"}, {"ranges", Json::array({Json::array({range})})}}}};
  const Json portmap = {{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}};
  const Json json = {{"cniVersion", "1.1.0"},
                     {"name", "crisp"},
                     {"plugins", Json::array({bridge_plugin, portmap})}};
  StatusOr<ConfList> list = ParseConfList(json.dump(), false);
  if (list.ok()) list->file = "(built in)";
  return list;
}

}  // namespace crisp::cni
