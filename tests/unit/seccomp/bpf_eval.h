// An interpreter of the classic BPF that seccomp programs use: tells what the kernel would do with
// a call, without making it.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace crisp::runtime {

inline constexpr uint32_t kStuck = 0xdeadbeef;  // left the program, or an unknown instruction

inline uint32_t EvalBpf(const std::vector<uint8_t>& bytes, const seccomp_data& data) {
  const size_t count = bytes.size() / sizeof(sock_filter);
  uint32_t a = 0;
  for (size_t pc = 0; pc < count; ++pc) {
    sock_filter in;
    memcpy(&in, bytes.data() + pc * sizeof(in), sizeof(in));
    switch (in.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (in.k > sizeof(data) - 4 || in.k % 4 != 0) return kStuck;
        memcpy(&a, reinterpret_cast<const char*>(&data) + in.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= in.k;
        break;
      case BPF_JMP | BPF_JA:
        pc += in.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == in.k ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        pc += a > in.k ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        pc += a >= in.k ? in.jt : in.jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        pc += (a & in.k) != 0 ? in.jt : in.jf;
        break;
      case BPF_RET | BPF_K:
        return in.k;
      default:
        return kStuck;
    }
  }
  return kStuck;
}

inline seccomp_data Call(uint32_t arch, uint32_t number, uint64_t arg0 = 0) {
  seccomp_data data{};
  data.arch = arch;
  data.nr = static_cast<int>(number);
  data.args[0] = arg0;
  return data;
}

}  // namespace crisp::runtime
