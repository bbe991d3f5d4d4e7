// What a runtime says to our plugins: the environment's values and the configuration on stdin.
#include <cstddef>
#include <cstdint>
#include <map>

#include "cni/bridge_conf.h"
#include "cni/plugins/protocol.h"

using namespace crisp;
using namespace crisp::cni;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t cut = text.find('\n');
  const std::string args(text.substr(0, cut == absl::string_view::npos ? 0 : cut));
  const std::map<std::string, std::string> environment = {
      {"CNI_COMMAND", "ADD"}, {"CNI_CONTAINERID", "id"}, {"CNI_NETNS", "/ns"},
      {"CNI_IFNAME", "eth0"}, {"CNI_ARGS", args},        {"CNI_PATH", "/a:/b"}};
  const StatusOr<PluginRequest> request =
      ParseRequest(environment, cut == absl::string_view::npos ? text : text.substr(cut + 1));
  if (!request.ok()) {
    FormatError(request.status(), "1.0.0");
    return 0;
  }
  ParseBridgePlugin(request->config, request->network).status().IgnoreError();
  const StatusOr<AddResult> result = ParseAddResult(request->previous);
  if (result.ok()) FormatResult(*result, request->version);
  return 0;
}
