// Profile -> BPF by libseccomp: the reference that our own compiler is compared with.
#pragma once

#include "runtime/seccomp/profile.h"

namespace crisp::runtime {

StatusOr<std::vector<uint8_t>> CompileByReference(const SeccompProfile& profile);

}  // namespace crisp::runtime
