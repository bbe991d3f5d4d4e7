#include "cri/translate/parts.h"

namespace crisp::cri {

Status FillUser(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::LinuxContainerSecurityContext& context = input.config->linux().security_context();
  runtime::UserRequest& user = spec->user;
  if (context.has_run_as_user()) user.run_as_user = context.run_as_user().value();
  if (context.has_run_as_group()) user.run_as_group = context.run_as_group().value();
  user.run_as_username = context.run_as_username();
  user.image_user = input.image.user;
  user.supplemental_groups.assign(context.supplemental_groups().begin(),
                                  context.supplemental_groups().end());
  user.merge_image_groups = context.supplemental_groups_policy() == v1::Merge;
  if (!v1::SupplementalGroupsPolicy_IsValid(context.supplemental_groups_policy())) {
    return InvalidField("security_context.supplemental_groups_policy",
                        absl::StrCat(context.supplemental_groups_policy()), "not a policy");
  }
  return runtime::ValidateUserRequest(user);
}

}  // namespace crisp::cri
