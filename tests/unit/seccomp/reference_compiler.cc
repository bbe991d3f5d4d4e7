// A prologue of our own stands before libseccomp's program for calls newer than its tables.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "runtime/base/files.h"
#include "tests/unit/seccomp/reference_compiler.h"

namespace crisp::runtime {
namespace {

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

// Lookups by a binary tree: a third of the load time and half the cost of an argument-checked call
// (libseccomp >= 2.5).
constexpr uint32_t kBinaryTree = 2;

Status LibStatus(int rc, absl::string_view what) {
  return rc == 0 ? absl::OkStatus() : ErrnoStatus(-rc, "compile seccomp profile: ", what);
}

// libseccomp's actions are the kernel's return values.
StatusOr<Context> NewContext(const SeccompProfile& profile) {
  Context context(seccomp_init(profile.default_action));
  if (!context) return absl::InternalError("compile seccomp profile: init");
  std::vector<uint32_t> arches = {SCMP_ARCH_X86_64};
  if (profile.with_i386) arches.push_back(SCMP_ARCH_X86);
  if (profile.with_x32) arches.push_back(SCMP_ARCH_X32);
  for (const uint32_t arch : arches) {
    const int rc = seccomp_arch_add(context.get(), arch);
    if (rc != 0 && rc != -EEXIST) return LibStatus(rc, "add architecture");
  }
  RETURN_IF_ERROR(
      LibStatus(seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
                "bad architecture"));
  RETURN_IF_ERROR(LibStatus(seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree),
                            "optimize"));
  return context;
}

scmp_arg_cmp LibTest(const ArgTest& test) {
  switch (test.op) {
    case ArgTest::Op::kEqual:
      return {test.index, SCMP_CMP_EQ, test.value, 0};
    case ArgTest::Op::kNotEqual:
    case ArgTest::Op::kLowWordNotEqual:
      return {test.index, SCMP_CMP_NE, test.value, 0};
    case ArgTest::Op::kLess:
      return {test.index, SCMP_CMP_LT, test.value, 0};
    case ArgTest::Op::kLessOrEqual:
      return {test.index, SCMP_CMP_LE, test.value, 0};
    case ArgTest::Op::kGreater:
      return {test.index, SCMP_CMP_GT, test.value, 0};
    case ArgTest::Op::kGreaterOrEqual:
      return {test.index, SCMP_CMP_GE, test.value, 0};
    case ArgTest::Op::kMaskedEqual:
      break;
  }
  return {test.index, SCMP_CMP_MASKED_EQ, test.mask, test.value};
}

Status AddRule(const Context& context, const SyscallRule& rule) {
  const int number = seccomp_syscall_resolve_name(rule.name.c_str());
  if (number == __NR_SCMP_ERROR) {  // a misspelt name must not silently be denied
    return absl::InvalidArgumentError(
        absl::StrCat("compile seccomp profile: no system call \"", rule.name, "\""));
  }
  std::vector<scmp_arg_cmp> tests;
  for (const ArgTest& test : rule.tests) tests.push_back(LibTest(test));
  const int rc = seccomp_rule_add_array(context.get(), rule.action, number,
                                        static_cast<unsigned>(tests.size()), tests.data());
  // A name that no architecture of the program has (stat64 on x86_64 alone) is no error.
  return rc == -EDOM ? absl::OkStatus() : LibStatus(rc, rule.name);
}

StatusOr<std::string> Export(const Context& context) {
  UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, "compile seccomp profile: memfd_create");
  RETURN_IF_ERROR(LibStatus(seccomp_export_bpf(context.get(), file.get()), "export"));
  if (lseek(file.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "seek memfd");
  return ReadFile(absl::StrCat("/proc/self/fd/", file.get()));
}

sock_filter Instruction(int code, uint32_t k, uint8_t jump_true = 0, uint8_t jump_false = 0) {
  return {static_cast<uint16_t>(code), jump_true, jump_false, k};
}

// Numbers are the same on x86_64 and i386 from 403 on; x32's carry bit 30 and fall through.
std::vector<sock_filter> Prologue(const SeccompProfile& profile) {
  const size_t listed = profile.allowed_new.size();
  // From a jump to the program's start: over `listed` compares, allow, deny and ENOSYS.
  const auto after = [&](size_t more) { return static_cast<uint8_t>(more + listed + 3); };
  const uint32_t number = offsetof(seccomp_data, nr);
  std::vector<sock_filter> code = {
      Instruction(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      Instruction(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      Instruction(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 0, after(4)),
      Instruction(BPF_LD | BPF_W | BPF_ABS, number),
      Instruction(BPF_JMP | BPF_JGE | BPF_K, profile.first_new, 0, after(2)),
      Instruction(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, after(1), 0),
      Instruction(BPF_JMP | BPF_JGE | BPF_K, profile.first_unknown,
                  static_cast<uint8_t>(listed + 2), 0)};
  for (size_t i = 0; i < listed; ++i) {
    code.push_back(Instruction(BPF_JMP | BPF_JEQ | BPF_K, profile.allowed_new[i],
                               static_cast<uint8_t>(listed - i), 0));
  }
  code.push_back(Instruction(BPF_RET | BPF_K, profile.default_action));
  code.push_back(Instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(Instruction(BPF_RET | BPF_K, SeccompErrno(ENOSYS)));
  return code;
}

}  // namespace

StatusOr<std::vector<uint8_t>> CompileByReference(const SeccompProfile& profile) {
  ASSIGN_OR_RETURN(const Context context, NewContext(profile));
  for (const SyscallRule& rule : profile.rules) RETURN_IF_ERROR(AddRule(context, rule));
  ASSIGN_OR_RETURN(const std::string body, Export(context));
  std::vector<uint8_t> bytes;
  if (profile.first_new != 0) {
    const std::vector<sock_filter> prologue = Prologue(profile);
    bytes.resize(prologue.size() * sizeof(sock_filter));
    memcpy(bytes.data(), prologue.data(), bytes.size());
  }
  bytes.insert(bytes.end(), body.begin(), body.end());
  if (bytes.size() / sizeof(sock_filter) > BPF_MAXINSNS) {
    return absl::ResourceExhaustedError("compile seccomp profile: more than 4096 instructions");
  }
  return bytes;
}

}  // namespace crisp::runtime
