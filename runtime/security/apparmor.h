// AppArmor as the kernel and the distribution have it: is it on, is a profile loaded, and crisp's
// own default one. docs/design/security.md.
#pragma once

#include <string>

#include "runtime/base/status.h"

namespace crisp::runtime {

inline constexpr char kDefaultAppArmorProfile[] = "crisp-default";

bool AppArmorEnabled();

// NOT_FOUND if the kernel has no profile of this name.
Status CheckAppArmorProfile(const std::string& name);

// Gives the default profile to the kernel by apparmor_parser(8), unless it is there already.
Status LoadDefaultAppArmorProfile();

}  // namespace crisp::runtime
