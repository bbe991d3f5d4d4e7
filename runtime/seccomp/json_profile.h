// Seccomp profiles of users: the JSON of containers-common, which includes that of the OCI runtime
// specification. What the file names and what is refused: docs/design/seccomp.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"
#include "runtime/seccomp/profile.h"

namespace crisp::runtime {

inline constexpr size_t kMaxProfileBytes = 512 << 10;  // the longest known ones have 30 KiB

// What the conditions of a profile ("includes", "excludes") look at.
struct ProfileContext {
  uint64_t capabilities = 0;  // the container's bounding set
  int kernel_major = 0, kernel_minor = 0;
};

struct JsonProfile {
  SeccompProfile profile;
  uint32_t flags = 0;                      // SECCOMP_FILTER_FLAG_*
  std::vector<std::string> unknown_calls;  // named, but not known here: without effect
};

// INVALID_ARGUMENT names the place in the document, as "syscalls[3].args[0].op".
StatusOr<JsonProfile> ParseSeccompProfile(absl::string_view text, const ProfileContext& context);

}  // namespace crisp::runtime
