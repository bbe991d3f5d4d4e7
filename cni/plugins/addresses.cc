#include "cni/plugins/addresses.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "cni/bridge_conf.h"
#include "cni/builtin/host_local_store.h"
#include "cni/external/exec_plugin.h"
#include "cni/external/result.h"
#include "runtime/base/files.h"
#include "runtime/base/pending.h"

namespace crisp::cni {
namespace {

constexpr size_t kMaxResolvConf = 1 << 20;

// The options with the ranges that the runtime adds (capability ipRanges).
StatusOr<BridgeNetwork> HostLocalOptions(const PluginRequest& request) {
  BridgeNetwork network;
  network.name = request.network;
  Json ipam = request.config.value("ipam", Json::object());
  if (!ipam.is_object()) return InvalidField("ipam", ipam.dump(), "not an object");
  ipam.erase("resolvConf");
  if (request.runtime.is_object() && request.runtime.contains("ipRanges")) {
    const Json more = request.runtime["ipRanges"];
    if (!more.is_array()) return InvalidField("runtimeConfig.ipRanges", more.dump(), "not a list");
    for (const Json& set : more) ipam["ranges"].push_back(set);
  }
  RETURN_IF_ERROR(ParseHostLocal(ipam, &network));
  return network;
}

// Addresses that are asked for: CNI_ARGS IP=, args.cni.ips, the capability ips.
StatusOr<std::vector<IpAddr>> RequestedIps(const PluginRequest& request) {
  std::vector<std::string> texts;
  if (const auto ip = request.args.find("IP"); ip != request.args.end() && !ip->second.empty())
    texts.push_back(ip->second);
  for (const Json* from : {&request.cni_args, &request.runtime}) {
    if (!from->is_object()) continue;
    for (const Json& ip : from->value("ips", Json::array()))
      if (ip.is_string()) texts.push_back(ip.get<std::string>());
  }
  std::vector<IpAddr> ips;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(const IpPrefix parsed, ParsePrefixOrIp(text));
    ips.push_back(parsed.ip);
  }
  return ips;
}

StatusOr<Json> ReadResolvConf(const PluginRequest& request) {
  Json dns = Json::object();
  const std::string path = JsonString(request.config.value("ipam", Json::object()), "resolvConf");
  if (path.empty()) return dns;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxResolvConf));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") dns["nameservers"].push_back(words[1]);
    if (words[0] == "domain") dns["domain"] = words[1];
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[0] == "search") dns["search"].push_back(words[i]);
      if (words[0] == "options") dns["options"].push_back(words[i]);
    }
  }
  return dns;
}

StatusOr<IpAddr> ReserveOne(HostLocalStore& store, const PluginRequest& request,
                            const RangeSet& set, size_t number, std::vector<IpAddr>* requested) {
  const auto wanted = std::find_if(requested->begin(), requested->end(),
                                   [&](const IpAddr& ip) { return RangeOf(set, ip) != nullptr; });
  if (wanted == requested->end())
    return store.Reserve(set, number, request.container_id, request.ifname);
  const IpAddr ip = *wanted;
  requested->erase(wanted);
  if (ip == RangeOf(set, ip)->gateway)
    return InvalidField("requested address", ip.ToString(), "is the gateway's");
  RETURN_IF_ERROR(store.ReserveExactly(ip, request.container_id, request.ifname));
  return ip;
}

std::string IpamType(const PluginRequest& request) {
  return JsonString(request.config.value("ipam", Json::object()), "type");
}

// An address plugin of others gets our whole configuration and environment.
StatusOr<std::string> Delegate(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const PluginFile plugin, FindPlugin(request.path, IpamType(request)));
  PluginCall call;
  call.command = request.command;
  call.container_id = request.container_id;
  call.netns = request.netns;
  call.ifname = request.ifname;
  call.args = request.args_text;
  call.bin_dirs = request.path;
  call.config = request.raw.dump(-1, ' ', false, Json::error_handler_t::replace);
  return ExecPlugin(plugin, call);
}

Status ByType(const PluginRequest& request, Status (*host_local)(const PluginRequest&)) {
  const std::string type = IpamType(request);
  if (type.empty()) return absl::OkStatus();
  if (type == "host-local") return host_local(request);
  return Delegate(request).status();
}

}  // namespace

StatusOr<AddResult> HostLocalAdd(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const BridgeNetwork network, HostLocalOptions(request));
  AddResult result;
  ASSIGN_OR_RETURN(result.dns, ReadResolvConf(request));
  ASSIGN_OR_RETURN(std::vector<IpAddr> requested, RequestedIps(request));
  ASSIGN_OR_RETURN(HostLocalStore store, HostLocalStore::Open(network.data_dir, network.name));
  ASSIGN_OR_RETURN(const std::vector<IpAddr> have,
                   store.Find(request.container_id, request.ifname));
  if (!have.empty())
    return absl::AlreadyExistsError(absl::StrCat(
        "container ", request.container_id, " already has the address ", have.front().ToString()));
  Pending undo([&] { store.Release(request.container_id, request.ifname).IgnoreError(); });
  for (size_t i = 0; i < network.ranges.size(); ++i) {
    ASSIGN_OR_RETURN(const IpAddr ip, ReserveOne(store, request, network.ranges[i], i, &requested));
    const AddressRange* range = RangeOf(network.ranges[i], ip);
    result.ips.push_back(PluginIp{IpPrefix{ip, range->subnet.length}, range->gateway, -1});
  }
  if (!requested.empty())
    return InvalidField("requested address", requested.front().ToString(), "is in no range");
  result.routes = network.routes;
  undo.Commit();
  return result;
}

Status HostLocalDel(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const BridgeNetwork network, HostLocalOptions(request));
  ASSIGN_OR_RETURN(HostLocalStore store, HostLocalStore::Open(network.data_dir, network.name));
  return store.Release(request.container_id, request.ifname);
}

Status HostLocalCheck(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const BridgeNetwork network, HostLocalOptions(request));
  ASSIGN_OR_RETURN(HostLocalStore store, HostLocalStore::Open(network.data_dir, network.name));
  ASSIGN_OR_RETURN(const std::vector<IpAddr> have,
                   store.Find(request.container_id, request.ifname));
  return have.empty() ? absl::NotFoundError(absl::StrCat("container ", request.container_id,
                                                         " has no reserved address"))
                      : absl::OkStatus();
}

Status HostLocalGc(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const BridgeNetwork network, HostLocalOptions(request));
  ASSIGN_OR_RETURN(HostLocalStore store, HostLocalStore::Open(network.data_dir, network.name));
  return store.ReleaseOthers(request.valid_attachments);
}

Status HostLocalStatus(const PluginRequest& request) { return HostLocalOptions(request).status(); }

StatusOr<AddResult> AllocateAddresses(const PluginRequest& request) {
  const std::string type = IpamType(request);
  if (type.empty()) return AddResult();
  if (type == "host-local") return HostLocalAdd(request);
  ASSIGN_OR_RETURN(const std::string output, Delegate(request));
  ASSIGN_OR_RETURN(const Json json, ParseResultJson(output));
  return ParseAddResult(json);
}

Status ReleaseAddresses(const PluginRequest& request) { return ByType(request, HostLocalDel); }
Status CheckAddresses(const PluginRequest& request) { return ByType(request, HostLocalCheck); }
Status CollectAddresses(const PluginRequest& request) { return ByType(request, HostLocalGc); }
Status AddressesStatus(const PluginRequest& request) { return ByType(request, HostLocalStatus); }

}  // namespace crisp::cni
