// Which AppArmor profile a container gets: by the new field, else by the old one.
#include <mutex>

#include "absl/strings/strip.h"
#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "runtime/base/log.h"
#include "runtime/security/apparmor.h"

namespace crisp::cri {
namespace {

// Still sent by old clients, and by the kubelet beside the new one.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
const std::string& OldProfile(const v1::LinuxContainerSecurityContext& context) {
  return context.apparmor_profile();
}
#pragma GCC diagnostic pop

// Without AppArmor the default is none, as with the peers. apparmor_parser runs once, for the first
// container that wants the default; where that fails there is no default, and the log says so.
std::string DefaultProfile() {
  if (!runtime::AppArmorEnabled()) return "";
  static std::once_flag once;
  static bool loaded = false;
  std::call_once(once, [] {
    const Status status = runtime::LoadDefaultAppArmorProfile();
    loaded = status.ok();
    if (!loaded)
      LogWarning("containers run without an AppArmor profile by default",
                 {{"error", status.ToString()}});
  });
  return loaded ? runtime::kDefaultAppArmorProfile : "";
}

StatusOr<std::string> NamedProfile(const TranslateInput& input, const std::string& field,
                                   absl::string_view reference) {
  absl::ConsumePrefix(&reference, "localhost/");
  const std::string name(reference);
  const bool bad = name.empty() || name.size() > kMaxNameBytes ||
                   name.find_first_of("\n\0", 0, 2) != std::string::npos;
  if (bad) return InvalidField(field, name, "must name an AppArmor profile");
  if (!runtime::AppArmorEnabled()) {
    return InvalidField(field, name, "this node's kernel has no AppArmor");
  }
  if (input.recovered) return name;
  const Status loaded = runtime::CheckAppArmorProfile(name);
  if (!loaded.ok()) return InvalidField(field, name, loaded.message());
  return name;
}

StatusOr<std::string> ProfileByOldField(const TranslateInput& input, const std::string& old) {
  constexpr char kField[] = "security_context.apparmor_profile";
  if (old.empty() || old == "runtime/default") return DefaultProfile();
  if (old == "unconfined") return std::string();
  if (old.rfind("localhost/", 0) == 0) return NamedProfile(input, kField, old);
  return InvalidField(kField, old, "must be unconfined, runtime/default or localhost/NAME");
}

StatusOr<std::string> ProfileOf(const TranslateInput& input) {
  const v1::LinuxContainerSecurityContext& context = input.config->linux().security_context();
  if (context.privileged()) return std::string();
  if (!context.has_apparmor()) return ProfileByOldField(input, OldProfile(context));
  switch (context.apparmor().profile_type()) {
    case v1::SecurityProfile::RuntimeDefault:
      return DefaultProfile();
    case v1::SecurityProfile::Unconfined:
      return std::string();
    case v1::SecurityProfile::Localhost:
      return NamedProfile(input, "security_context.apparmor.localhost_ref",
                          context.apparmor().localhost_ref());
    default:
      return InvalidField("security_context.apparmor.profile_type",
                          absl::StrCat(context.apparmor().profile_type()), "not a profile type");
  }
}

}  // namespace

Status FillAppArmor(const TranslateInput& input, runtime::ContainerSpec* spec) {
  ASSIGN_OR_RETURN(spec->apparmor_profile, ProfileOf(input));
  return absl::OkStatus();
}

}  // namespace crisp::cri
