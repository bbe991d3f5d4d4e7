// Version, Status, RuntimeConfig: what the kubelet asks about the node.
#include <nlohmann/json.hpp>

#include "cri/service/runtime_service.h"
#include "runtime/base/json.h"
#include "runtime/security/selinux.h"

namespace crisp::cri {
namespace {

void AddCondition(v1::RuntimeStatus* status, const char* type, bool ready,
                  const std::string& reason, const std::string& message) {
  v1::RuntimeCondition* condition = status->add_conditions();
  condition->set_type(type);
  condition->set_status(ready);
  condition->set_reason(reason);
  condition->set_message(message);
}

}  // namespace

Status RuntimeService::Version(const v1::VersionRequest&, v1::VersionResponse* response,
                               CallContext&) {
  response->set_version("0.1.0");  // of the kubelet's own API, by tradition
  response->set_runtime_name("crisp");
  response->set_runtime_version(options_.version);
  response->set_runtime_api_version("v1");
  return absl::OkStatus();
}

Status RuntimeService::RuntimeStatus(const v1::StatusRequest& request, v1::StatusResponse* response,
                                     CallContext&) {
  const cni::NetworkStatus network = parts_.network->CurrentStatus();
  AddCondition(response->mutable_status(), "RuntimeReady", true, "", "");
  AddCondition(response->mutable_status(), "NetworkReady", network.ready, network.reason,
               network.message);
  const bool user_namespaces = parts_.runtime.features.user_namespaces;
  for (const std::string& name : parts_.handlers->Names()) {
    v1::RuntimeHandler* handler = response->add_runtime_handlers();
    handler->set_name(name);
    handler->mutable_features()->set_recursive_read_only_mounts(true);
    const auto found = parts_.handlers->Find(name);
    const bool built_in = found.ok() && (*found)->oci == nullptr;
    handler->mutable_features()->set_user_namespaces(user_namespaces && built_in);
  }
  response->mutable_features()->set_user_namespaces_host_network(user_namespaces);
  response->mutable_features()->set_supplemental_groups_policy(true);
  response->mutable_features()->set_mount_options(true);
  if (!request.verbose()) return absl::OkStatus();
  // kubeadm reads config.sandboxImage; critest config.stateDir.
  const Json config = {{"sandboxImage", options_.sandbox_image},
                       {"stateDir", options_.state_dir},
                       {"rootDir", options_.root_dir},
                       {"selinux", runtime::SelinuxMode()}};
  auto& info = *response->mutable_info();
  info["config"] = config.dump();
  info["cniconfig"] = network.conflist_json.empty() ? "{}" : network.conflist_json;
  info["lastCNILoadStatus"] = Json(network.ready ? "OK" : network.message).dump();
  info["networkPool"] = Json{{"missing", network.pool_missing}}.dump();
  return absl::OkStatus();
}

Status RuntimeService::RuntimeConfig(const v1::RuntimeConfigRequest&,
                                     v1::RuntimeConfigResponse* response, CallContext&) {
  response->mutable_linux()->set_cgroup_driver(parts_.runtime.cgroups->systemd() ? v1::SYSTEMD
                                                                                 : v1::CGROUPFS);
  return absl::OkStatus();
}

Status RuntimeService::UpdateRuntimeConfig(const v1::UpdateRuntimeConfigRequest&,
                                           v1::UpdateRuntimeConfigResponse*, CallContext&) {
  // The pod CIDR of the node: the bridge's own subnet is configuration, so there is nothing to do
  // (as in CRI-O).
  return absl::OkStatus();
}

}  // namespace crisp::cri
