#include "cri/translate/container_spec.h"

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"

namespace crisp::cri {

Status ValidateContainerMetadata(const v1::ContainerConfig& config) {
  if (!config.has_metadata()) return InvalidField("config.metadata", "", "must be set");
  RETURN_IF_ERROR(CheckName("config.metadata.name", config.metadata().name(), false));
  if (config.image().image().empty())
    return InvalidField("config.image.image", "", "must not be empty");
  return CheckMeta(config.labels(), config.annotations());
}

StatusOr<runtime::ContainerSpec> TranslateContainer(const TranslateInput& input) {
  RETURN_IF_ERROR(ValidateContainerMetadata(*input.config));
  RETURN_IF_ERROR(LogPathOf(*input.pod, *input.config).status());
  runtime::ContainerSpec spec;
  spec.id = input.id;
  spec.sandbox_id = input.sandbox_id;
  spec.lower_dirs = input.lower_dirs;
  spec.cgroup_parent = input.pod->linux().cgroup_parent();
  RETURN_IF_ERROR(FillNamespaces(input, &spec));
  RETURN_IF_ERROR(FillProcess(input, &spec));
  RETURN_IF_ERROR(FillUser(input, &spec));
  RETURN_IF_ERROR(FillSecurity(input, &spec));
  RETURN_IF_ERROR(FillMounts(input, &spec));
  RETURN_IF_ERROR(FillDevices(input, &spec));
  RETURN_IF_ERROR(FillCdi(input, &spec));
  RETURN_IF_ERROR(FillResources(input, &spec));
  return spec;
}

}  // namespace crisp::cri
