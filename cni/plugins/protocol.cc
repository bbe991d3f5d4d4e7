#include "cni/plugins/protocol.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "cni/conf_list.h"
#include "runtime/base/files.h"
#include "runtime/sys/retry.h"

namespace crisp::cni {
namespace {

constexpr size_t kMaxConfig = 4 << 20;
constexpr const char* kVersions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

// The specification's error codes, section 5.
constexpr int kBadVersion = 1, kUnsupportedField = 2, kBadEnvironment = 4, kBadConfig = 7,
              kTryAgain = 11, kNotAvailable = 50, kInternal = 999;
constexpr char kVersionWords[] = "incompatible CNI version";
constexpr char kEnvironmentWords[] = "environment variable";

int CodeOf(const Status& status) {
  if (absl::StartsWith(status.message(), kVersionWords)) return kBadVersion;
  if (absl::StartsWith(status.message(), kEnvironmentWords)) return kBadEnvironment;
  switch (status.code()) {
    case absl::StatusCode::kUnimplemented:
      return kUnsupportedField;
    case absl::StatusCode::kInvalidArgument:
      return kBadConfig;
    case absl::StatusCode::kResourceExhausted:
      return kTryAgain;
    case absl::StatusCode::kUnavailable:
      return kNotAvailable;
    default:
      return kInternal;
  }
}

Status BadEnvironment(const std::string& name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(kEnvironmentWords, " ", name, ": ", why));
}

Status CheckEnvironment(const PluginRequest& request) {
  const bool attachment =
      request.command == "ADD" || request.command == "DEL" || request.command == "CHECK";
  if (!attachment) return absl::OkStatus();
  // libcni's rule for ids: they become file names.
  if (!IsPluginType(request.container_id)) return BadEnvironment("CNI_CONTAINERID", "not an id");
  if (request.ifname.empty() || request.ifname.size() > 15 || request.ifname == "." ||
      request.ifname == ".." || request.ifname.find_first_of("/: \t") != std::string::npos)
    return BadEnvironment("CNI_IFNAME", "not an interface name");
  if (request.netns.empty() && request.command != "DEL")
    return BadEnvironment("CNI_NETNS", "is missing");
  return absl::OkStatus();
}

// Takes what belongs to the protocol out of the configuration: what is left are the plugin's
// options.
void SplitConfig(Json config, PluginRequest* request) {
  request->raw = config;
  request->runtime = config.value("runtimeConfig", Json::object());
  request->previous = config.value("prevResult", Json());
  const Json args = config.value("args", Json::object());
  request->cni_args = args.is_object() ? args.value("cni", Json::object()) : Json::object();
  for (const Json& entry : config.value("cni.dev/valid-attachments", Json::array())) {
    request->valid_attachments.emplace_back(JsonString(entry, "containerID"),
                                            JsonString(entry, "ifname"));
  }
  for (const char* key :
       {"runtimeConfig", "prevResult", "args", "cni.dev/valid-attachments", "cniVersion", "name"})
    config.erase(key);
  request->config = std::move(config);
}

bool Before(const std::string& version, absl::string_view other) {
  return !VersionAtLeast(version, other);
}

Json RouteJson(const Route& route) {
  Json json = {{"dst", route.destination.ToString()}};
  if (route.gateway) json["gw"] = route.gateway->ToString();
  if (route.mtu != 0) json["mtu"] = route.mtu;
  if (route.priority != 0) json["priority"] = route.priority;
  return json;
}

// 0.1 and 0.2 know one address of each family.
Json FormatOldResult(const AddResult& result) {
  Json json = Json::object();
  for (const PluginIp& ip : result.ips) {
    const char* key = ip.address.ip.family == AF_INET6 ? "ip6" : "ip4";
    if (json.contains(key)) continue;
    json[key]["ip"] = ip.address.ToString();
    if (ip.gateway) json[key]["gateway"] = ip.gateway->ToString();
    for (const Route& route : result.routes)
      if (route.destination.ip.family == ip.address.ip.family)
        json[key]["routes"].push_back(RouteJson(route));
  }
  return json;
}

Json IpJson(const PluginIp& ip, const std::string& version) {
  Json json = {{"address", ip.address.ToString()}};
  if (ip.gateway) json["gateway"] = ip.gateway->ToString();
  if (ip.interface >= 0) json["interface"] = ip.interface;
  if (Before(version, "1.0.0")) json["version"] = ip.address.ip.family == AF_INET6 ? "6" : "4";
  return json;
}

Status ParseRoutes(const Json& json, AddResult* result) {
  if (!json.is_array()) return absl::OkStatus();
  for (const Json& entry : json) {
    Route route;
    ASSIGN_OR_RETURN(route.destination, ParsePrefix(JsonString(entry, "dst")));
    if (const std::string gateway = JsonString(entry, "gw"); !gateway.empty()) {
      ASSIGN_OR_RETURN(route.gateway, ParseIp(gateway));
    }
    result->routes.push_back(route);
  }
  return absl::OkStatus();
}

Status ParseIpEntry(const Json& json, const char* address_key, AddResult* result) {
  PluginIp ip;
  ASSIGN_OR_RETURN(ip.address, ParsePrefix(JsonString(json, address_key)));
  if (const std::string gateway = JsonString(json, "gateway"); !gateway.empty()) {
    ASSIGN_OR_RETURN(ip.gateway, ParseIp(gateway));
  }
  if (json.is_object() && json.contains("interface") && json["interface"].is_number_unsigned() &&
      json["interface"].get<uint64_t>() < 1024)
    ip.interface = json["interface"].get<int>();
  result->ips.push_back(ip);
  return absl::OkStatus();
}

StatusOr<std::string> ReadStdin() {
  std::string text;
  char buffer[64 << 10];
  while (true) {
    const ssize_t got = sys::Retry([&] { return read(0, buffer, sizeof(buffer)); });
    if (got < 0) return ErrnoStatus(errno, "read configuration from stdin");
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMaxConfig)
      return absl::InvalidArgumentError("configuration on stdin: more than 4 MiB");
  }
}

std::map<std::string, std::string> CniEnvironment() {
  std::map<std::string, std::string> values;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    if (absl::StartsWith(pair.first, "CNI_")) values[pair.first] = pair.second;
  }
  return values;
}

void Print(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // Nobody is left to be told of a closed stdout.
  WriteAll(1, text).IgnoreError();
}

Status RunVerb(const PluginVerbs& verbs, const PluginRequest& request) {
  const auto call = [&](const std::function<Status(const PluginRequest&)>& verb) {
    return verb ? verb(request) : absl::OkStatus();
  };
  if (request.command == "ADD") {
    ASSIGN_OR_RETURN(const Json result, verbs.add(request));
    Print(result);
    return absl::OkStatus();
  }
  if (request.command == "DEL") return call(verbs.del);
  if (request.command == "CHECK") return call(verbs.check);
  if (request.command == "GC") return call(verbs.gc);
  if (request.command == "STATUS") return call(verbs.status);
  return BadEnvironment("CNI_COMMAND", absl::StrCat("\"", request.command, "\" is not known"));
}

}  // namespace

StatusOr<PluginRequest> ParseRequest(const std::map<std::string, std::string>& environment,
                                     absl::string_view text) {
  const auto variable = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  PluginRequest request;
  request.command = variable("CNI_COMMAND");
  request.container_id = variable("CNI_CONTAINERID");
  request.netns = variable("CNI_NETNS");
  request.ifname = variable("CNI_IFNAME");
  request.path = absl::StrSplit(variable("CNI_PATH"), ':', absl::SkipEmpty());
  request.args_text = variable("CNI_ARGS");
  for (const absl::string_view pair : absl::StrSplit(request.args_text, ';', absl::SkipEmpty()))
    request.args.insert(absl::StrSplit(pair, absl::MaxSplits('=', 1)));
  if (request.command.empty()) return BadEnvironment("CNI_COMMAND", "is missing");
  RETURN_IF_ERROR(CheckEnvironment(request));
  ASSIGN_OR_RETURN(Json config, ParseJson(text, JsonLimits{kMaxConfig, 32}));
  if (!config.is_object()) return InvalidField("configuration", "", "not a JSON object");
  request.network = JsonString(config, "name");
  if (!IsPluginType(request.network))
    return InvalidField("name", request.network, "not a network name");
  request.version = JsonString(config, "cniVersion", "0.1.0");
  if (!IsKnownCniVersion(request.version))
    return absl::InvalidArgumentError(
        absl::StrCat(kVersionWords, " \"", request.version, "\": known are 0.1.0 to 1.1.0"));
  SplitConfig(std::move(config), &request);
  return request;
}

Json FormatResult(const AddResult& result, const std::string& version) {
  Json json = Json::object();
  if (Before(version, "0.3.0")) {
    json = FormatOldResult(result);
  } else {
    for (const PluginInterface& interface : result.interfaces) {
      Json entry = {{"name", interface.name}};
      if (!interface.mac.empty()) entry["mac"] = interface.mac;
      if (!interface.sandbox.empty()) entry["sandbox"] = interface.sandbox;
      json["interfaces"].push_back(entry);
    }
    for (const PluginIp& ip : result.ips) json["ips"].push_back(IpJson(ip, version));
    for (const Route& route : result.routes) json["routes"].push_back(RouteJson(route));
  }
  json["cniVersion"] = version;
  json["dns"] = result.dns;
  return json;
}

StatusOr<AddResult> ParseAddResult(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("result: not a JSON object");
  AddResult result;
  for (const char* key : {"ip4", "ip6"}) {
    const Json old_style = json.value(key, Json());
    if (!old_style.is_object()) continue;
    RETURN_IF_ERROR(ParseIpEntry(old_style, "ip", &result));
    RETURN_IF_ERROR(ParseRoutes(old_style.value("routes", Json()), &result));
  }
  const Json ips = json.value("ips", Json::array());
  const Json interfaces = json.value("interfaces", Json::array());
  if (!ips.is_array() || !interfaces.is_array() || ips.size() > 64 || interfaces.size() > 64)
    return absl::InvalidArgumentError("result: ips or interfaces is not a list of up to 64");
  for (const Json& ip : ips) RETURN_IF_ERROR(ParseIpEntry(ip, "address", &result));
  for (const Json& entry : interfaces)
    result.interfaces.push_back(
        {JsonString(entry, "name"), JsonString(entry, "mac"), JsonString(entry, "sandbox")});
  RETURN_IF_ERROR(ParseRoutes(json.value("routes", Json()), &result));
  result.dns = json.value("dns", Json::object());
  return result;
}

Json FormatError(const Status& status, const std::string& version) {
  return {{"cniVersion", version},
          {"code", CodeOf(status)},
          {"msg", std::string(status.message())},
          {"details", ""}};
}

int PluginMain(const std::string& name, const PluginVerbs& verbs) {
  const std::map<std::string, std::string> environment = CniEnvironment();
  const auto command = environment.find("CNI_COMMAND");
  if (command == environment.end() && isatty(0)) {
    fprintf(stderr, "crisp CNI %s plugin; CNI protocol versions 0.1.0 to 1.1.0\n", name.c_str());
    return 0;
  }
  const StatusOr<std::string> text = ReadStdin();
  if (command != environment.end() && command->second == "VERSION") {
    Print({{"cniVersion", "1.1.0"}, {"supportedVersions", kVersions}});
    return 0;
  }
  StatusOr<PluginRequest> request =
      text.ok() ? ParseRequest(environment, *text) : StatusOr<PluginRequest>(text.status());
  const Status status = request.ok() ? RunVerb(verbs, *request) : request.status();
  if (status.ok()) return 0;
  Print(FormatError(status, request.ok() ? request->version : "1.1.0"));
  return 1;
}

}  // namespace crisp::cni
