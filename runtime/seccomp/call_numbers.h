// The numbers of system calls by name: libseccomp's tables, and the calls that came after them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace crisp::runtime {

inline constexpr uint32_t kX32Bit = 0x40000000;

// `arch`: SCMP_ARCH_X86_64, SCMP_ARCH_X86 or SCMP_ARCH_X32 (whose numbers carry kX32Bit).
const std::map<std::string, uint32_t>& CallNumbers(uint32_t arch);

}  // namespace crisp::runtime
