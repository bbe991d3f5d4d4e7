// CNI plugin `host-local`: addresses of ranges, reserved by files.
#include "cni/plugins/addresses.h"
#include "cni/plugins/protocol.h"

namespace crisp::cni {
namespace {

StatusOr<Json> Add(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const AddResult result, HostLocalAdd(request));
  return FormatResult(result, request.version);
}

}  // namespace
}  // namespace crisp::cni

int main() {
  using namespace crisp::cni;
  return PluginMain("host-local",
                    {Add, HostLocalDel, HostLocalCheck, HostLocalGc, HostLocalStatus});
}
