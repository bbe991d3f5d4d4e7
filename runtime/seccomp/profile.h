// A seccomp profile as data: rules by system call name, ready to be compiled.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/seccomp/filter.h"

namespace crisp::runtime {

struct ArgTest {
  // Unsigned, of the whole argument: 64 bits on x86_64, 32 on i386 and x32, as libseccomp has it.
  // kLowWordNotEqual looks at 32 bits only, as the kernel does where the parameter is an int: else
  // any bit above them would get a denied value through.
  enum class Op {
    kEqual,
    kNotEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kMaskedEqual,
    kLowWordNotEqual
  };
  Op op;
  unsigned index;  // which argument, 0..5
  uint64_t value;
  uint64_t mask = 0;  // kMaskedEqual: (argument & mask) == value
};

constexpr uint32_t SeccompErrno(int err) { return SECCOMP_RET_ERRNO | static_cast<uint32_t>(err); }

struct SyscallRule {
  std::string name;
  uint32_t action = SECCOMP_RET_ALLOW;  // what the filter returns to the kernel
  // All must hold. Several rules of one call: one without tests decides alone (the first of them),
  // else the first that holds.
  std::vector<ArgTest> tests;
};

struct SeccompProfile {
  std::vector<SyscallRule> rules;
  uint32_t default_action;                 // of what no rule names
  bool with_i386 = true, with_x32 = true;  // without: such a call kills the process
  bool kernel_has_x32 = true;  // else an x32 call gets ENOSYS at once, as the kernel would say
  // System calls newer than the compiler's tables, by number (the same on all architectures since
  // 5.1): [first_new, first_unknown) get default_action unless listed, later ones ENOSYS, so that a
  // program's fall-back works. 0: no such part.
  uint32_t first_new = 0, first_unknown = 0;
  std::vector<uint32_t> allowed_new;
};

// The first number that nobody has judged yet; see default_profile.cc.
inline constexpr uint32_t kFirstUnknownCall = 470;

// Does any architecture of ours have a call of this name?
bool IsSystemCall(const std::string& name);

// The field's default profile for a container with this bounding set.
SeccompProfile DefaultProfile(uint64_t capabilities);
// The capabilities that DefaultProfile looks at: masks that agree here give the same program.
uint64_t DefaultProfileCapabilities();

// x86_64, x86 and x32 in one program, looked up by a binary tree.
StatusOr<std::vector<uint8_t>> CompileProfile(const SeccompProfile& profile);
// The same without what the running kernel refuses anyway: Debian's has no x32 unless asked to.
StatusOr<std::vector<uint8_t>> CompileForKernel(SeccompProfile profile);

}  // namespace crisp::runtime
