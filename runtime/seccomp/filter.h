// Seccomp programs: compiled once, cached by what they depend on, immutable and shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp::runtime {

// Raw struct sock_filter array (8 bytes an instruction), ready for seccomp(2).
struct SeccompProgram {
  std::vector<uint8_t> bytes;
  uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_*
  std::string digest;  // of profile and inputs, for logs
  // A user's profile: the text it was made from, which outlives the file in the journal, and the
  // names in it that no kernel known to us has.
  std::string source;
  std::vector<std::string> unknown_calls;
};
using SeccompFilter = std::shared_ptr<const SeccompProgram>;

// The field's default profile (the Docker / containers-common rule set) for x86_64, x86 and x32,
// with the conditional parts decided by the container's bounding capabilities (bit n = capability
// n).
StatusOr<SeccompFilter> DefaultSeccompFilter(uint64_t capabilities);

// A user's profile. The error names the path, and the place in the document.
StatusOr<SeccompFilter> LocalhostSeccompFilter(const std::string& path, uint64_t capabilities);

// The same from the text of one that was used before.
StatusOr<SeccompFilter> SeccompFilterOfText(const std::string& text, uint64_t capabilities);

}  // namespace crisp::runtime
