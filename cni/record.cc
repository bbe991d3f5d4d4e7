#include "cni/record.h"

#include <nlohmann/json.hpp>

#include "runtime/base/json.h"

namespace crisp::cni {
namespace {

constexpr int kVersion = 1;

Json PortJson(const PortForward& forward, size_t ip_index) {
  return Json::array({forward.protocol, forward.host_port, forward.pod_port,
                      forward.host_ip ? forward.host_ip->ToString() : "", ip_index});
}

Status ParsePort(const Json& json, Record* record) {
  bool good = json.is_array() && json.size() == 5 && json[3].is_string();
  for (const size_t i : {0, 1, 2, 4})
    good = good && json[i].is_number_unsigned() && json[i].get<uint64_t>() <= 65535;
  if (!good || json[0].get<uint64_t>() > 255 || json[4].get<size_t>() >= record->ips.size())
    return absl::InvalidArgumentError("network record: bad port");
  PortForward forward;
  forward.protocol = json[0].get<uint8_t>();
  forward.host_port = json[1].get<uint16_t>();
  forward.pod_port = json[2].get<uint16_t>();
  forward.pod_ip = record->ips[json[4].get<size_t>()];
  if (const std::string host_ip = json[3].get<std::string>(); !host_ip.empty()) {
    ASSIGN_OR_RETURN(forward.host_ip, ParseIp(host_ip));
  }
  record->forwards.push_back(forward);
  return absl::OkStatus();
}

}  // namespace

std::string FormatRecord(const Record& record) {
  Json json = {
      {"v", kVersion}, {"mode", record.plugins ? "plugins" : "bridge"}, {"net", record.network}};
  for (const IpAddr& ip : record.ips) json["ips"].push_back(ip.ToString());
  if (record.plugins) return json.dump();
  json["bridge"] = record.bridge;
  json["link"] = record.link;
  for (const PortForward& forward : record.forwards) {
    const auto ip = std::find(record.ips.begin(), record.ips.end(), forward.pod_ip);
    json["ports"].push_back(PortJson(forward, static_cast<size_t>(ip - record.ips.begin())));
  }
  return json.dump();
}

StatusOr<Record> ParseRecord(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text, JsonLimits{64 << 10, 8}));
  const std::string mode = JsonString(json, "mode");
  if (!json.is_object() || json.value("v", Json()) != kVersion ||
      (mode != "bridge" && mode != "plugins"))
    return absl::InvalidArgumentError("network record: unknown version or mode");
  Record record;
  record.plugins = mode == "plugins";
  record.network = JsonString(json, "net");
  record.bridge = JsonString(json, "bridge");
  record.link = JsonString(json, "link");
  const Json ips = json.value("ips", Json::array()), ports = json.value("ports", Json::array());
  for (const Json& ip : ips) {
    if (!ip.is_string()) return absl::InvalidArgumentError("network record: bad address");
    ASSIGN_OR_RETURN(const IpAddr parsed, ParseIp(ip.get<std::string>()));
    record.ips.push_back(parsed);
  }
  for (const Json& port : ports) RETURN_IF_ERROR(ParsePort(port, &record));
  return record;
}

}  // namespace crisp::cni
