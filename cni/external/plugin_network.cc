#include "cni/external/plugin_network.h"

namespace crisp::cni {

StatusOr<std::unique_ptr<PluginNetwork>> PluginNetwork::Open(const Options& options) {
  return std::unique_ptr<PluginNetwork>(new PluginNetwork(options));
}
PluginNetwork::~PluginNetwork() = default;
Status PluginNetwork::CheckInstalled(const ConfList&) const {
  return absl::UnimplementedError("external plugins");
}
StatusOr<Lease> PluginNetwork::Add(const ConfList&, const PodIdentity&) {
  return absl::UnimplementedError("external plugins");
}
Status PluginNetwork::Adopt(const std::string&) { return absl::OkStatus(); }
void PluginNetwork::Release(const std::string&) {}
void PluginNetwork::Sweep() {}
Status PluginNetwork::CheckStatus(const ConfList&) { return absl::OkStatus(); }
bool PluginNetwork::WaitUntilIdle(int) { return true; }

}  // namespace crisp::cni
