// A seccomp profile as data: rules by system call name, ready to be compiled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/seccomp/filter.h"

namespace crisp::runtime {

struct ArgTest {
  // kLowWordNotEqual looks at 32 bits only, as the kernel does where the parameter is an int: else
  // any bit above them would get a denied value through.
  enum class Op { kEqual, kLowWordNotEqual, kMaskedEqual };
  Op op;
  unsigned index;  // which argument, 0..5
  uint64_t value;
  uint64_t mask = 0;  // kMaskedEqual: (argument & mask) == value
};

struct SyscallRule {
  std::string name;
  int err = 0;                 // 0: allowed; else it fails with this errno
  std::vector<ArgTest> tests;  // all must hold; several rules of one call are alternatives
};

struct SeccompProfile {
  std::vector<SyscallRule> rules;
  int default_err;  // of what no rule names
  // System calls newer than the compiler's tables, by number (the same on all architectures since
  // 5.1): [first_new, first_unknown) fail with default_err unless listed, later ones with ENOSYS,
  // so that a program's fall-back works.
  uint32_t first_new = 0, first_unknown = 0;
  std::vector<uint32_t> allowed_new;
};

// The field's default profile for a container with this bounding set.
SeccompProfile DefaultProfile(uint64_t capabilities);
// The capabilities that DefaultProfile looks at: masks that agree here give the same program.
uint64_t DefaultProfileCapabilities();

// x86_64, x86 and x32 in one program, looked up by a binary tree.
StatusOr<std::vector<uint8_t>> CompileProfile(const SeccompProfile& profile);

}  // namespace crisp::runtime
