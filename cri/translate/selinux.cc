#include "cri/translate/selinux.h"

#include <mutex>

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "runtime/base/log.h"
#include "runtime/security/selinux.h"

namespace crisp::cri {
namespace {

using runtime::SelinuxLabel;

constexpr char kField[] = "security_context.selinux_options";
constexpr size_t kMaxLabelBytes = 240;  // a mount option takes 255

bool Empty(const v1::SELinuxOption& options) {
  return options.user().empty() && options.role().empty() && options.type().empty() &&
         options.level().empty();
}

void WarnOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    LogWarning("selinux_options are without effect: this node's kernel has no SELinux", {});
  });
}

// Whatever the policy says of them: they become parts of one text with colons between.
Status CheckParts(const v1::SELinuxOption& options) {
  const std::string* parts[] = {&options.user(), &options.role(), &options.type(),
                                &options.level()};
  for (const std::string* part : parts) {
    if (part->size() > kMaxLabelBytes) {
      return InvalidField(kField, part->substr(0, 40), "is too long");
    }
    for (const unsigned char c : *part) {
      const bool plain = isalnum(c) || c == '_' || c == '-' || c == '.';
      const bool of_level = part == &options.level() && (c == ':' || c == ',');
      if (!plain && !of_level) return InvalidField(kField, *part, "has a character no label has");
    }
  }
  if (!Empty(options) && !runtime::SelinuxEnabled()) WarnOnce();
  return absl::OkStatus();
}

void Apply(const v1::SELinuxOption& options, SelinuxLabel* label) {
  if (!options.user().empty()) label->user = options.user();
  if (!options.role().empty()) label->role = options.role();
  if (!options.type().empty()) label->type = options.type();
  if (!options.level().empty()) label->level = options.level();
}

// Files have a type of their own; whom they belong to is what the processes are.
SelinuxLabel FileLabel(const SelinuxLabel& process) {
  SelinuxLabel file = runtime::DefaultSelinuxLabels().file;
  file.user = process.user;
  file.level = process.level;
  return file;
}

StatusOr<std::string> Checked(const SelinuxLabel& label) {
  std::string text = label.Text();
  if (text.size() > kMaxLabelBytes) return InvalidField(kField, text, "is too long");
  const Status known = runtime::CheckSelinuxLabel(text);
  if (absl::IsInvalidArgument(known)) return InvalidField(kField, text, known.message());
  RETURN_IF_ERROR(known);
  return text;
}

SelinuxLabel PodLabel(const v1::SELinuxOption& options, const std::string& level) {
  SelinuxLabel label = runtime::DefaultSelinuxLabels().process;
  if (!level.empty()) label.level = level;
  if (!runtime::SelinuxHasLevels()) label.level.clear();
  Apply(options, &label);
  return label;
}

// In the node's pid or IPC namespace a container's type would keep it from what it is there for, so
// unless the request names one it is confined as little as a privileged one.
bool Unseparated(const v1::PodSandboxConfig& pod,
                 const v1::LinuxContainerSecurityContext& context) {
  if (context.privileged()) return true;
  const v1::LinuxSandboxSecurityContext& sandbox = pod.linux().security_context();
  const v1::NamespaceOption& asked =
      context.has_namespace_options() ? context.namespace_options() : sandbox.namespace_options();
  const bool node = asked.pid() == v1::NODE || sandbox.namespace_options().ipc() == v1::NODE;
  return node && Empty(context.selinux_options()) && Empty(sandbox.selinux_options());
}

// The type that policies have for it; where the policy has none, what its own rules give to a
// program that crisp executes.
std::string PrivilegedLabel() {
  SelinuxLabel label = runtime::DefaultSelinuxLabels().process;
  label.type = "spc_t";
  return runtime::CheckSelinuxLabel(label.Text()).ok() ? label.Text() : "";
}

}  // namespace

bool NeedsSelinuxLevel(const v1::PodSandboxConfig& config) {
  return runtime::SelinuxEnabled() && runtime::SelinuxHasLevels() &&
         config.linux().security_context().selinux_options().level().empty();
}

StatusOr<std::string> PodMountLabel(const v1::PodSandboxConfig& config, const std::string& level) {
  const v1::SELinuxOption& options = config.linux().security_context().selinux_options();
  RETURN_IF_ERROR(CheckParts(options));
  if (!runtime::SelinuxEnabled()) return std::string();
  const SelinuxLabel label = PodLabel(options, level);
  RETURN_IF_ERROR(Checked(label).status());
  return Checked(FileLabel(label));
}

Status FillSelinux(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxContainerSecurityContext& context = input.config->linux().security_context();
  RETURN_IF_ERROR(CheckParts(context.selinux_options()));
  if (!runtime::SelinuxEnabled()) return absl::OkStatus();
  const v1::SELinuxOption& pod = input.pod->linux().security_context().selinux_options();
  SelinuxLabel label = PodLabel(pod, input.selinux_level);
  Apply(context.selinux_options(), &label);
  const SelinuxLabel file = FileLabel(label);
  if (input.recovered) {  // the policy may be another one by now
    spec->process_label = label.Text();
    spec->mount_label = file.Text();
  } else {
    ASSIGN_OR_RETURN(spec->process_label, Checked(label));
    ASSIGN_OR_RETURN(spec->mount_label, Checked(file));
  }
  if (Unseparated(*input.pod, context)) spec->process_label = PrivilegedLabel();
  return absl::OkStatus();
}

}  // namespace crisp::cri
