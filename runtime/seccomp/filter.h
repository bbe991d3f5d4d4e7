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
  std::string digest;  // of profile and inputs, for logs
};
using SeccompFilter = std::shared_ptr<const SeccompProgram>;

// The field's default profile (the Docker / containers-common rule set) for x86_64, x86 and x32,
// with the conditional parts decided by the container's bounding capabilities (bit n = capability
// n).
StatusOr<SeccompFilter> DefaultSeccompFilter(uint64_t capabilities);

}  // namespace crisp::runtime
