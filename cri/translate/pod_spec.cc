#include "cri/translate/pod_spec.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "cri/translate/checks.h"
#include "cri/translate/selinux.h"
#include "cri/translate/user_namespace.h"
#include "runtime/cgroup/path.h"

namespace crisp::cri {
namespace {

Status CheckMetadata(const v1::PodSandboxConfig& config) {
  if (!config.has_metadata()) return InvalidField("config.metadata", "", "must be set");
  const v1::PodSandboxMetadata& metadata = config.metadata();
  RETURN_IF_ERROR(CheckName("config.metadata.name", metadata.name(), false));
  RETURN_IF_ERROR(CheckName("config.metadata.namespace", metadata.namespace_(), false));
  RETURN_IF_ERROR(CheckName("config.metadata.uid", metadata.uid(), false));
  return CheckMeta(config.labels(), config.annotations());
}

Status CheckNamespaces(const v1::NamespaceOption& options) {
  const auto pod_or_node = [](const char* field, v1::NamespaceMode mode) {
    if (mode == v1::POD || mode == v1::NODE) return absl::OkStatus();
    return InvalidField(field, v1::NamespaceMode_Name(mode), "only POD and NODE are supported");
  };
  RETURN_IF_ERROR(pod_or_node("namespace_options.network", options.network()));
  RETURN_IF_ERROR(pod_or_node("namespace_options.ipc", options.ipc()));
  if (options.pid() != v1::POD && options.pid() != v1::CONTAINER && options.pid() != v1::NODE) {
    return InvalidField("namespace_options.pid", v1::NamespaceMode_Name(options.pid()),
                        "must be POD, CONTAINER or NODE for a pod sandbox");
  }
  return CheckPodUserNamespace(options);
}

Status CheckSandboxContext(const v1::LinuxSandboxSecurityContext& context) {
  if (context.has_namespace_options())
    RETURN_IF_ERROR(CheckNamespaces(context.namespace_options()));
  if (context.has_run_as_group() && !context.has_run_as_user()) {
    return InvalidField("security_context.run_as_group",
                        absl::StrCat(context.run_as_group().value()), "needs run_as_user");
  }
  return absl::OkStatus();
}

StatusOr<std::string> HostnameOf(const v1::PodSandboxConfig& config, bool host_network) {
  if (!config.hostname().empty() && !host_network) {
    const std::string& name = config.hostname();
    if (name.size() > kMaxHostnameBytes) {
      return InvalidField("config.hostname", name,
                          absl::StrCat("longer than ", kMaxHostnameBytes, " bytes"));
    }
    for (const unsigned char c : name) {
      if (!isalnum(c) && c != '-' && c != '.' && c != '_') {
        return InvalidField("config.hostname", name,
                            "only letters, digits, \"-\", \".\" and \"_\"");
      }
    }
    return name;
  }
  char node[256] = {};
  if (gethostname(node, sizeof(node) - 1) != 0)
    return absl::InternalError("the node has no hostname");
  return std::string(node);
}

Status CheckPorts(const v1::PodSandboxConfig& config) {
  for (const v1::PortMapping& port : config.port_mappings()) {
    if (!v1::Protocol_IsValid(port.protocol())) {
      return InvalidField("port_mappings.protocol", absl::StrCat(port.protocol()),
                          "not a protocol");
    }
    RETURN_IF_ERROR(CheckRange("port_mappings.container_port", port.container_port(), 0, 65535));
    RETURN_IF_ERROR(CheckRange("port_mappings.host_port", port.host_port(), 0, 65535));
    in6_addr address;
    const std::string& ip = port.host_ip();
    if (!ip.empty() &&
        (ip.find('\0') != std::string::npos || (inet_pton(AF_INET, ip.c_str(), &address) != 1 &&
                                                inet_pton(AF_INET6, ip.c_str(), &address) != 1))) {
      return InvalidField("port_mappings.host_ip", ip, "not an IP address");
    }
  }
  return absl::OkStatus();
}

Status FillSysctls(const v1::PodSandboxConfig& config, runtime::PodSpec* spec) {
  RETURN_IF_ERROR(CheckRange("number of sysctls", config.linux().sysctls_size(), 0, kMaxSysctls));
  for (const auto& [key, value] : config.linux().sysctls()) {
    RETURN_IF_ERROR(runtime::ValidateSysctl(key, value, spec->host_network, spec->host_ipc));
    spec->sysctls[key] = value;
  }
  return absl::OkStatus();
}

Status FillDns(const v1::PodSandboxConfig& config, runtime::PodSpec* spec) {
  if (!config.has_dns_config()) return absl::OkStatus();
  const v1::DNSConfig& dns = config.dns_config();
  ASSIGN_OR_RETURN(spec->resolv_conf,
                   runtime::MakeResolvConf({dns.servers().begin(), dns.servers().end()},
                                           {dns.searches().begin(), dns.searches().end()},
                                           {dns.options().begin(), dns.options().end()}));
  return absl::OkStatus();
}

}  // namespace

StatusOr<runtime::PodSpec> TranslatePod(const v1::PodSandboxConfig& config, const std::string& id,
                                        const PodDefaults& defaults) {
  RETURN_IF_ERROR(CheckMetadata(config));
  const v1::LinuxSandboxSecurityContext& context = config.linux().security_context();
  RETURN_IF_ERROR(CheckSandboxContext(context));
  RETURN_IF_ERROR(CheckPorts(config));
  RETURN_IF_ERROR(runtime::NormalizeCgroupParent(config.linux().cgroup_parent()).status());
  if (!config.log_directory().empty()) {
    RETURN_IF_ERROR(CleanPath("config.log_directory", config.log_directory()).status());
  }
  runtime::PodSpec spec;
  spec.id = id;
  spec.host_network = context.namespace_options().network() == v1::NODE;
  spec.host_ipc = context.namespace_options().ipc() == v1::NODE;
  // CRI's default is POD, but who says nothing asks for nothing: no process for a pod that needs
  // none.
  spec.shared_pid = context.has_namespace_options() && context.namespace_options().pid() == v1::POD;
  ASSIGN_OR_RETURN(spec.id_map, IdMapOf(context.namespace_options()));
  spec.shm_bytes = defaults.shm_bytes;
  ASSIGN_OR_RETURN(spec.hostname, HostnameOf(config, spec.host_network));
  ASSIGN_OR_RETURN(spec.mount_label, PodMountLabel(config, defaults.selinux_level));
  RETURN_IF_ERROR(FillSysctls(config, &spec));
  RETURN_IF_ERROR(FillDns(config, &spec));
  return spec;
}

}  // namespace crisp::cri
