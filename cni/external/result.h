// What plugins write: results of all CNI versions, and errors. Foreign bytes: bounded, fuzzed.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cni/builtin/ip.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct PluginResult {
  std::vector<IpAddr> ips;  // of the pod's interface, in the plugin's order, each once
};

// The result as JSON, to be handed to the next plugin.
StatusOr<Json> ParseResultJson(absl::string_view text);
// 0.1 and 0.2: ip4, ip6; from 0.3 on: ips, interfaces.
StatusOr<PluginResult> ReadResult(const Json& result);

// "code 11: msg: details" of an error result; empty if the text is none.
std::string DescribePluginError(absl::string_view text);
// At most 1 KiB, without control characters, from the end of a text.
std::string CleanText(absl::string_view text);

}  // namespace crisp::cni
