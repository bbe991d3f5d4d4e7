// The plugin's side of the CNI protocol: parameters and configuration in, result or error out, in
// every version from 0.1.0 to 1.1.0.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cni/builtin/bridge.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct PluginRequest {
  std::string command, container_id, netns, ifname;
  std::map<std::string, std::string> args;  // CNI_ARGS
  std::string args_text;
  std::vector<std::string> path;  // CNI_PATH
  std::string network, version;
  Json config;    // without what belongs to the protocol
  Json runtime;   // runtimeConfig, {} if there is none
  Json cni_args;  // args.cni of the configuration
  Json previous;  // prevResult, null if there is none
  Json raw;       // all of it, for a delegate
  std::vector<std::pair<std::string, std::string>> valid_attachments;  // GC: id, ifname
};

// What ADD made, in the terms of version 1.1.
struct PluginInterface {
  std::string name, mac, sandbox;
};
struct PluginIp {
  IpPrefix address;
  std::optional<IpAddr> gateway;
  int interface = -1;
};
struct AddResult {
  std::vector<PluginInterface> interfaces;
  std::vector<PluginIp> ips;
  std::vector<Route> routes;
  Json dns = Json::object();
};

struct PluginVerbs {
  // The result as JSON in the request's version (FormatResult, or a handed-on prevResult).
  std::function<StatusOr<Json>(const PluginRequest&)> add;
  std::function<Status(const PluginRequest&)> del, check;
  std::function<Status(const PluginRequest&)> gc;      // may be empty
  std::function<Status(const PluginRequest&)> status;  // may be empty
};

// main of a plugin: reads environment and stdin, answers on stdout; returns the exit code.
int PluginMain(const std::string& name, const PluginVerbs& verbs);

StatusOr<PluginRequest> ParseRequest(const std::map<std::string, std::string>& environment,
                                     absl::string_view config);
Json FormatResult(const AddResult& result, const std::string& version);
// The other way round, any version: of a delegated address plugin, or prevResult.
StatusOr<AddResult> ParseAddResult(const Json& json);
Json FormatError(const Status& status, const std::string& version);

}  // namespace crisp::cni
