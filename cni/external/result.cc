#include "cni/external/result.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace crisp::cni {
namespace {

constexpr JsonLimits kLimits{1 << 20, 32};
constexpr size_t kMaxIps = 64;
constexpr size_t kMaxShown = 1 << 10;

Status AddIp(const std::string& text, PluginResult* result) {
  ASSIGN_OR_RETURN(const IpPrefix prefix, ParsePrefixOrIp(text));
  if (result->ips.size() >= kMaxIps)
    return absl::InvalidArgumentError(absl::StrCat("result: more than ", kMaxIps, " addresses"));
  if (std::find(result->ips.begin(), result->ips.end(), prefix.ip) == result->ips.end())
    result->ips.push_back(prefix.ip);
  return absl::OkStatus();
}

// An address belongs to the pod unless it names an interface that is outside of the sandbox.
bool OutsideOfPod(const Json& ip, const Json& interfaces) {
  const auto index = ip.find("interface");
  if (index == ip.end() || !index->is_number_unsigned() || !interfaces.is_array()) return false;
  const uint64_t number = index->get<uint64_t>();
  return number < interfaces.size() && JsonString(interfaces[number], "sandbox").empty();
}

}  // namespace

StatusOr<Json> ParseResultJson(absl::string_view text) {
  ASSIGN_OR_RETURN(Json json, ParseJson(text, kLimits));
  if (!json.is_object()) return absl::InvalidArgumentError("result: not a JSON object");
  return json;
}

StatusOr<PluginResult> ReadResult(const Json& json) {
  PluginResult result;
  for (const char* key : {"ip4", "ip6"}) {
    const auto old_style = json.find(key);
    if (old_style == json.end() || !old_style->is_object()) continue;
    RETURN_IF_ERROR(AddIp(JsonString(*old_style, "ip"), &result));
  }
  const Json ips = json.value("ips", Json()), interfaces = json.value("interfaces", Json());
  if (!ips.is_array() && !ips.is_null())
    return absl::InvalidArgumentError("result: ips is not a list");
  for (const Json& ip : ips) {
    if (!ip.is_object()) return absl::InvalidArgumentError("result: an address is not an object");
    if (!OutsideOfPod(ip, interfaces)) RETURN_IF_ERROR(AddIp(JsonString(ip, "address"), &result));
  }
  if (result.ips.empty()) return absl::InvalidArgumentError("result: no address for the pod");
  return result;
}

std::string CleanText(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() > kMaxShown) text.remove_prefix(text.size() - kMaxShown);
  std::string clean = absl::Utf8SafeCEscape(text);
  if (clean.size() > kMaxShown) clean.erase(0, clean.size() - kMaxShown);
  return clean;
}

std::string DescribePluginError(absl::string_view text) {
  const StatusOr<Json> json = ParseJson(text, kLimits);
  if (!json.ok() || !json->is_object()) return "";
  const std::string message = JsonString(*json, "msg"), details = JsonString(*json, "details");
  const auto code = json->find("code");
  if (message.empty() && code == json->end()) return "";
  std::string words = CleanText(message);
  if (code != json->end() && code->is_number_unsigned())
    words = absl::StrCat("code ", code->get<uint64_t>(), ": ", words);
  if (!details.empty()) absl::StrAppend(&words, ": ", CleanText(details));
  return words;
}

}  // namespace crisp::cni
