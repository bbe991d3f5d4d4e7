// CNI plugin `loopback`: sets lo up.
#include "cni/plugins/pod_link.h"
#include "cni/plugins/protocol.h"

namespace crisp::cni {
namespace {

StatusOr<Json> Add(const PluginRequest& request) {
  ASSIGN_OR_RETURN(PodNetns pod, OpenPodNetns(request.netns));
  NlBatch batch;
  AppendSetLinkUp(batch, "lo");
  RETURN_IF_ERROR(pod.route.Transact(batch, "set lo up"));
  // In a chain the result so far is handed on.
  if (!request.previous.is_null()) return request.previous;
  AddResult result;
  result.interfaces = {{"lo", "00:00:00:00:00:00", request.netns}};
  result.ips = {{*ParsePrefix("127.0.0.1/8"), std::nullopt, 0},
                {*ParsePrefix("::1/128"), std::nullopt, 0}};
  return FormatResult(result, request.version);
}

// lo goes with its namespace.
Status Del(const PluginRequest&) { return absl::OkStatus(); }

Status Check(const PluginRequest& request) {
  ASSIGN_OR_RETURN(PodNetns pod, OpenPodNetns(request.netns));
  ASSIGN_OR_RETURN(const Link lo, GetLink(pod.route, "lo"));
  constexpr uint32_t kUp = 1;  // IFF_UP
  return (lo.flags & kUp) != 0 ? absl::OkStatus() : absl::FailedPreconditionError("lo is down");
}

}  // namespace
}  // namespace crisp::cni

int main() {
  using namespace crisp::cni;
  return PluginMain("loopback", {Add, Del, Check, nullptr, nullptr});
}
