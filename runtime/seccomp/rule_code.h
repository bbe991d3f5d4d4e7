// BPF of single rules: tests of arguments and the answer.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <vector>

#include "runtime/seccomp/profile.h"

namespace crisp::runtime {

using Code = std::vector<sock_filter>;

sock_filter Instruction(int code, uint32_t k, size_t jump_true = 0, size_t jump_false = 0);
sock_filter Load(size_t offset);
sock_filter Return(uint32_t action);

// What the rules of one call come to. `wide`: arguments have 64 bits.
Code LeafCode(const std::vector<const SyscallRule*>& rules, uint32_t default_action, bool wide);

}  // namespace crisp::runtime
