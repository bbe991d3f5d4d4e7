// Namespaces, capabilities, LSMs, masked and read-only paths.
#include <algorithm>

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "cri/translate/user_namespace.h"

namespace crisp::cri {
namespace {

constexpr const char* kMaskedPaths[] = {
    "/proc/acpi",        "/proc/asound",  "/proc/interrupts",
    "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi",    "/proc/timer_list",
    "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap"};
constexpr const char* kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                          "/proc/sysrq-trigger"};

// An empty list is what the request says (procMount: Unmasked); a non-empty one is united with
// ours, because lists written long ago miss what later CVEs taught (GHSA-7ww5-4wqc-m92c: powercap).
template <typename Paths, size_t N>
StatusOr<std::vector<std::string>> UnitedPaths(const std::string& field, const Paths& asked,
                                               const char* const (&ours)[N], bool defaults) {
  std::vector<std::string> paths;
  for (const std::string& path : asked) {
    ASSIGN_OR_RETURN(std::string clean, CleanPath(field, path));
    paths.push_back(std::move(clean));
  }
  if (paths.empty() && !defaults) return paths;
  for (const char* path : ours) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  return paths;
}

// Network and IPC are the pod's; what would not have the asked effect is refused.
Status CheckPodNamespace(const std::string& name, v1::NamespaceMode pod, v1::NamespaceMode asked) {
  if (asked == v1::POD || asked == pod) return absl::OkStatus();
  return InvalidField("security_context.namespace_options." + name, v1::NamespaceMode_Name(asked),
                      absl::StrCat("the pod sandbox has ", v1::NamespaceMode_Name(pod)));
}

// A pod whose request said nothing about namespaces has no pid namespace to share, and its
// containers get their own.
Status FillPid(const v1::LinuxSandboxSecurityContext& pod, const v1::NamespaceOption& asked,
               runtime::ContainerSpec* spec) {
  switch (asked.pid()) {
    case v1::CONTAINER:
      return absl::OkStatus();
    case v1::NODE:
      spec->pid = runtime::NamespaceMode::kNode;
      return absl::OkStatus();
    case v1::TARGET:
      spec->pid = runtime::NamespaceMode::kTarget;
      spec->pid_target = asked.target_id();
      if (!spec->pid_target.empty()) return absl::OkStatus();
      return InvalidField("security_context.namespace_options.target_id", "",
                          "must be set for pid TARGET");
    case v1::POD:
      break;
    default:
      return InvalidField("security_context.namespace_options.pid", absl::StrCat(asked.pid()),
                          "not a namespace mode");
  }
  if (!pod.has_namespace_options()) return absl::OkStatus();
  if (pod.namespace_options().pid() != v1::POD) {
    return InvalidField("security_context.namespace_options.pid", "POD",
                        absl::StrCat("the pod sandbox has ",
                                     v1::NamespaceMode_Name(pod.namespace_options().pid())));
  }
  spec->pid = runtime::NamespaceMode::kPod;
  return absl::OkStatus();
}

}  // namespace

Status FillNamespaces(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxSandboxSecurityContext& sandbox = input.pod->linux().security_context();
  const v1::NamespaceOption& pod = sandbox.namespace_options();
  const v1::LinuxContainerSecurityContext& context = input.config->linux().security_context();
  spec->host_network = pod.network() == v1::NODE;
  spec->host_ipc = pod.ipc() == v1::NODE;
  if (!context.has_namespace_options()) {
    // As the pod's: a container of a pod with the host's or a shared pid namespace is in it.
    if (sandbox.has_namespace_options()) RETURN_IF_ERROR(FillPid(sandbox, pod, spec));
    return FillUserNamespace(input, spec);
  }
  const v1::NamespaceOption& asked = context.namespace_options();
  RETURN_IF_ERROR(CheckPodNamespace("network", pod.network(), asked.network()));
  RETURN_IF_ERROR(CheckPodNamespace("ipc", pod.ipc(), asked.ipc()));
  RETURN_IF_ERROR(FillPid(sandbox, asked, spec));
  return FillUserNamespace(input, spec);
}

Status FillSecurity(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxContainerSecurityContext& context = input.config->linux().security_context();
  const v1::Capability& caps = context.capabilities();
  spec->privileged = context.privileged();
  if (spec->privileged && !input.pod->linux().security_context().privileged()) {
    return InvalidField("security_context.privileged", "true", "the pod sandbox is not privileged");
  }
  ASSIGN_OR_RETURN(
      spec->caps,
      runtime::ComputeCapabilities(
          {caps.add_capabilities().begin(), caps.add_capabilities().end()},
          {caps.drop_capabilities().begin(), caps.drop_capabilities().end()},
          {caps.add_ambient_capabilities().begin(), caps.add_ambient_capabilities().end()},
          spec->privileged));
  spec->no_new_privs = context.no_new_privs();
  spec->readonly_rootfs = context.readonly_rootfs();
  RETURN_IF_ERROR(FillSeccomp(input, spec));
  RETURN_IF_ERROR(FillAppArmor(input, spec));
  RETURN_IF_ERROR(FillSelinux(input, spec));
  if (spec->privileged) return absl::OkStatus();
  const bool defaults = !input.config->linux().has_security_context();
  ASSIGN_OR_RETURN(spec->masked_paths, UnitedPaths("security_context.masked_paths",
                                                   context.masked_paths(), kMaskedPaths, defaults));
  ASSIGN_OR_RETURN(spec->readonly_paths,
                   UnitedPaths("security_context.readonly_paths", context.readonly_paths(),
                               kReadonlyPaths, defaults));
  return absl::OkStatus();
}

}  // namespace crisp::cri
