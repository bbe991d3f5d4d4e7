// Which seccomp filter a container gets. What asks for one gets it or is refused (CVE-2023-2431:
// a profile without a name must not mean none).
#include "absl/strings/strip.h"
#include "cri/translate/checks.h"
#include "cri/translate/parts.h"

namespace crisp::cri {
namespace {

// Still sent by old clients; the new field wins.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
const std::string& OldPath(const v1::LinuxContainerSecurityContext& context) {
  return context.seccomp_profile_path();
}
#pragma GCC diagnostic pop

Status FillDefault(runtime::ContainerSpec* spec) {
  ASSIGN_OR_RETURN(spec->seccomp, runtime::DefaultSeccompFilter(spec->caps.bounding));
  return absl::OkStatus();
}

// Once made, a container keeps its profile, whatever becomes of the file.
Status FillLocalhost(const TranslateInput& input, const std::string& field,
                     absl::string_view reference, runtime::ContainerSpec* spec) {
  if (!input.seccomp_source.empty()) {
    ASSIGN_OR_RETURN(spec->seccomp,
                     runtime::SeccompFilterOfText(input.seccomp_source, spec->caps.bounding));
    return absl::OkStatus();
  }
  absl::ConsumePrefix(&reference, "localhost/");
  const std::string path(reference);
  RETURN_IF_ERROR(CheckAbsolutePath(field, path));
  auto filter = runtime::LocalhostSeccompFilter(path, spec->caps.bounding);
  if (!filter.ok()) return InvalidField(field, path, filter.status().message());
  spec->seccomp = std::move(*filter);
  return absl::OkStatus();
}

Status FillOld(const TranslateInput& input, const std::string& name, runtime::ContainerSpec* spec) {
  constexpr char kField[] = "security_context.seccomp_profile_path";
  if (name.empty() || name == "unconfined") return absl::OkStatus();
  if (name == "runtime/default" || name == "docker/default") return FillDefault(spec);
  if (name.rfind("localhost/", 0) == 0) return FillLocalhost(input, kField, name, spec);
  return InvalidField(kField, name,
                      "must be unconfined, runtime/default or localhost/ and an absolute path");
}

}  // namespace

Status FillSeccomp(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxContainerSecurityContext& context = input.config->linux().security_context();
  if (context.privileged()) return absl::OkStatus();
  // Neither given: unconfined, as CRI says.
  if (!context.has_seccomp()) return FillOld(input, OldPath(context), spec);
  const v1::SecurityProfile& profile = context.seccomp();
  switch (profile.profile_type()) {
    case v1::SecurityProfile::RuntimeDefault:
      return FillDefault(spec);
    case v1::SecurityProfile::Unconfined:
      return absl::OkStatus();
    case v1::SecurityProfile::Localhost:
      return FillLocalhost(input, "security_context.seccomp.localhost_ref", profile.localhost_ref(),
                           spec);
    default:
      return InvalidField("security_context.seccomp.profile_type",
                          absl::StrCat(profile.profile_type()), "not a profile type");
  }
}

}  // namespace crisp::cri
