#include "runtime/seccomp/call_numbers.h"

#include <seccomp.h>

#include <cstdlib>

#include "runtime/seccomp/profile.h"

namespace crisp::runtime {
namespace {

// Newer than libseccomp 2.5.4 (Debian 12); the same number everywhere.
constexpr struct {
  uint32_t number;
  const char* name;
} kNewCalls[] = {{451, "cachestat"},         {452, "fchmodat2"},        {453, "map_shadow_stack"},
                 {454, "futex_wake"},        {455, "futex_wait"},       {456, "futex_requeue"},
                 {457, "statmount"},         {458, "listmount"},        {459, "lsm_get_self_attr"},
                 {460, "lsm_set_self_attr"}, {461, "lsm_list_modules"}, {462, "mseal"},
                 {463, "setxattrat"},        {464, "getxattrat"},       {465, "listxattrat"},
                 {466, "removexattrat"},     {467, "open_tree_attr"},   {468, "file_getattr"},
                 {469, "file_setattr"}};

// Built from the numbers, because by name libseccomp gives i386's socketcall(2) and ipc(2) forms
// and not the direct calls beside them.
std::map<std::string, uint32_t> Build(uint32_t arch) {
  constexpr int kNumbers = 1024;
  const uint32_t base = arch == SCMP_ARCH_X32 ? kX32Bit : 0;
  std::map<std::string, uint32_t> numbers;
  for (uint32_t number = base; number < base + kNumbers; ++number) {
    char* name = seccomp_syscall_resolve_num_arch(arch, static_cast<int>(number));
    if (name) numbers.emplace(name, number);
    free(name);
  }
  for (const auto& call : kNewCalls) numbers.emplace(call.name, base + call.number);
  return numbers;
}

}  // namespace

const std::map<std::string, uint32_t>& CallNumbers(uint32_t arch) {
  static const auto& x86_64 = *new std::map<std::string, uint32_t>(Build(SCMP_ARCH_X86_64));
  static const auto& i386 = *new std::map<std::string, uint32_t>(Build(SCMP_ARCH_X86));
  static const auto& x32 = *new std::map<std::string, uint32_t>(Build(SCMP_ARCH_X32));
  return arch == SCMP_ARCH_X86_64 ? x86_64 : arch == SCMP_ARCH_X86 ? i386 : x32;
}

bool IsSystemCall(const std::string& name) {
  for (const uint32_t arch :
       {uint32_t{SCMP_ARCH_X86_64}, uint32_t{SCMP_ARCH_X86}, uint32_t{SCMP_ARCH_X32}}) {
    if (CallNumbers(arch).count(name) != 0) return true;
  }
  // Of another architecture: no error in a profile that is written for several.
  return seccomp_syscall_resolve_name(name.c_str()) != __NR_SCMP_ERROR;
}

}  // namespace crisp::runtime
