// A user's seccomp profile: no crash; what is accepted compiles to a program that ends within its
// bounds for every probe, or is refused as too long.
#include <linux/audit.h>
#include <linux/filter.h>

#include <cstdlib>

#include "runtime/seccomp/json_profile.h"
#include "tests/unit/seccomp/bpf_eval.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = ParseSeccompProfile(text, {.capabilities = 0xa80425fb, .kernel_major = 6});
  if (!parsed.ok()) return 0;
  const auto program = CompileProfile(parsed->profile);
  if (!program.ok()) return 0;
  if (program->size() > BPF_MAXINSNS * sizeof(sock_filter)) abort();
  constexpr uint32_t kArchs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64};
  for (const uint32_t arch : kArchs) {
    for (const uint32_t number : {0u, 1u, 2u, 59u, 470u, 0x40000001u, 0xffffffffu}) {
      if (EvalBpf(*program, Call(arch, number, 3)) == kStuck) abort();
    }
  }
  return 0;
}
