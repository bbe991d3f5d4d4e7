// Names of capabilities by number, as in <linux/capability.h>.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

inline constexpr int kCapabilities = 41;  // the last one, CHECKPOINT_RESTORE, came with kernel 5.9

// "NET_ADMIN" or "CAP_NET_ADMIN", any case; -1 for anything else.
int CapabilityNumber(absl::string_view name);

std::string CapabilityName(int number);  // "CAP_CHOWN"

}  // namespace crisp
