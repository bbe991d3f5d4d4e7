// Profile -> BPF. System call numbers are sorted, neighbours with the same answer merged to ranges,
// and the ranges looked up by a binary tree: the kernel runs a new filter once for each number when
// it is loaded, so a short path is what a container's start pays for. libseccomp gives the numbers,
// and is the reference that tests compare every answer with.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>

#include "runtime/seccomp/profile.h"

namespace crisp::runtime {
namespace {

using Code = std::vector<sock_filter>;

constexpr uint32_t kX32Bit = 0x40000000;
constexpr size_t kMaxJump = 255;  // a conditional jump's distance is one byte

sock_filter Instruction(int code, uint32_t k, size_t jump_true = 0, size_t jump_false = 0) {
  return {static_cast<uint16_t>(code), static_cast<uint8_t>(jump_true),
          static_cast<uint8_t>(jump_false), k};
}

sock_filter Load(size_t offset) {
  return Instruction(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}

sock_filter Return(int err) {
  return Instruction(BPF_RET | BPF_K, err == 0 ? static_cast<uint32_t>(SECCOMP_RET_ALLOW)
                                               : SECCOMP_RET_ERRNO | static_cast<uint32_t>(err));
}

void Append(Code* to, const Code& more) { to->insert(to->end(), more.begin(), more.end()); }

// One word of an argument: the low one first in memory (x86 is little-endian).
enum class Word { kLow = 0, kHigh = 4 };
sock_filter LoadArg(const ArgTest& test, Word word) {
  return Load(offsetof(seccomp_data, args) + 8 * test.index + static_cast<size_t>(word));
}

// "Continue with the next instruction if equal, else fail": the distance is filled in later.
constexpr uint8_t kFail = 255;

Code TestCode(const ArgTest& test) {
  Code code;
  const auto low = static_cast<uint32_t>(test.value),
             high = static_cast<uint32_t>(test.value >> 32);
  const auto equal = [&](uint32_t k) {
    return Instruction(BPF_JMP | BPF_JEQ | BPF_K, k, 0, kFail);
  };
  switch (test.op) {
    case ArgTest::Op::kEqual:
      return {LoadArg(test, Word::kHigh), equal(high), LoadArg(test, Word::kLow), equal(low)};
    case ArgTest::Op::kLowWordNotEqual:
      return {LoadArg(test, Word::kLow), Instruction(BPF_JMP | BPF_JEQ | BPF_K, low, kFail, 0)};
    case ArgTest::Op::kMaskedEqual:
      for (const Word word : {Word::kHigh, Word::kLow}) {
        const bool upper = word == Word::kHigh;
        const auto mask = static_cast<uint32_t>(upper ? test.mask >> 32 : test.mask);
        if (mask == 0) continue;
        Append(&code, {LoadArg(test, word), Instruction(BPF_ALU | BPF_AND | BPF_K, mask),
                       equal(upper ? high : low)});
      }
  }
  return code;
}

// All tests hold: the rule's answer. Else on to what follows.
Code RuleCode(const SyscallRule& rule) {
  Code code;
  for (const ArgTest& test : rule.tests) Append(&code, TestCode(test));
  for (size_t i = 0; i < code.size(); ++i) {
    const auto distance = static_cast<uint8_t>(code.size() - i);  // over the return
    if (code[i].jt == kFail) code[i].jt = distance;
    if (code[i].jf == kFail) code[i].jf = distance;
  }
  code.push_back(Return(rule.err));
  return code;
}

// What a number leads to. A rule without tests decides alone, whatever else names the call.
Code LeafCode(const std::vector<const SyscallRule*>& rules, int default_err) {
  for (const SyscallRule* rule : rules) {
    if (rule->tests.empty()) return {Return(rule->err)};
  }
  Code code;
  for (const SyscallRule* rule : rules) Append(&code, RuleCode(*rule));
  code.push_back(Return(default_err));
  return code;
}

struct Range {  // from `first` up to the next range's
  uint32_t first;
  Code leaf;
};

bool SameCode(const Code& a, const Code& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(sock_filter)) == 0;
}

class Table {
 public:
  explicit Table(int default_err) : ranges_{{0, {Return(default_err)}}} {}

  // In ascending order.
  void Set(uint32_t first, Code leaf) {
    if (SameCode(ranges_.back().leaf, leaf)) return;
    if (ranges_.back().first == first) ranges_.pop_back();
    const bool merge = !ranges_.empty() && SameCode(ranges_.back().leaf, leaf);
    if (!merge) ranges_.push_back({first, std::move(leaf)});
  }
  Code Tree() const { return Tree(0, ranges_.size()); }

 private:
  Code Tree(size_t begin, size_t end) const {
    if (end - begin == 1) return ranges_[begin].leaf;
    const size_t middle = begin + (end - begin) / 2;
    const Code below = Tree(begin, middle);
    Code code;
    if (below.size() <= kMaxJump) {
      code.push_back(
          Instruction(BPF_JMP | BPF_JGE | BPF_K, ranges_[middle].first, below.size(), 0));
    } else {
      code.push_back(Instruction(BPF_JMP | BPF_JGE | BPF_K, ranges_[middle].first, 0, 1));
      code.push_back(Instruction(BPF_JMP | BPF_JA, static_cast<uint32_t>(below.size())));
    }
    Append(&code, below);
    Append(&code, Tree(middle, end));
    return code;
  }

  std::vector<Range> ranges_;
};

// Built from the numbers, because by name libseccomp gives i386's socketcall(2) and ipc(2) forms
// and not the direct calls beside them.
std::map<std::string, uint32_t> NumbersOf(uint32_t arch) {
  constexpr int kNumbers = 1024;
  const int base = arch == SCMP_ARCH_X32 ? static_cast<int>(kX32Bit) : 0;
  std::map<std::string, uint32_t> numbers;
  for (int number = base; number < base + kNumbers; ++number) {
    char* name = seccomp_syscall_resolve_num_arch(arch, number);
    if (name) numbers.emplace(name, static_cast<uint32_t>(number));
    free(name);
  }
  return numbers;
}

StatusOr<Code> ArchTree(const SeccompProfile& profile, uint32_t arch) {
  const std::map<std::string, uint32_t> numbers = NumbersOf(arch);
  std::map<uint32_t, std::vector<const SyscallRule*>> calls;
  for (const SyscallRule& rule : profile.rules) {
    if (seccomp_syscall_resolve_name(rule.name.c_str()) == __NR_SCMP_ERROR) {
      // A misspelt name must not silently be denied.
      return absl::InvalidArgumentError(
          absl::StrCat("compile seccomp profile: no system call \"", rule.name, "\""));
    }
    const auto found = numbers.find(rule.name);
    if (found != numbers.end()) calls[found->second].push_back(&rule);
  }
  const SyscallRule allowed{.name = ""}, unknown{.name = "", .err = ENOSYS};
  const bool x32 = arch == SCMP_ARCH_X32;
  if (!x32) {
    for (const uint32_t number : profile.allowed_new) calls[number] = {&allowed};
  }
  Table table(profile.default_err);
  for (const auto& [number, rules] : calls) {
    table.Set(number, LeafCode(rules, profile.default_err));
    if (!calls.count(number + 1)) table.Set(number + 1, {Return(profile.default_err)});
  }
  if (!x32 && profile.first_unknown != 0) {
    table.Set(profile.first_unknown, {Return(unknown.err)});
    table.Set(kX32Bit, {Return(profile.default_err)});
  }
  return table.Tree();
}

// Architecture first, then the number: the same number means something else on each.
Code Assemble(const Code& x86_64, const Code& x32, const Code& i386) {
  Code code = {Load(offsetof(seccomp_data, arch)),
               Instruction(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 2, 0),
               Instruction(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 2, 0),
               Instruction(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
               Instruction(BPF_JMP | BPF_JA, 2)};
  // i386 lies last: its jump goes over both 64-bit trees.
  code.push_back(Load(offsetof(seccomp_data, nr)));
  code.push_back(Instruction(BPF_JMP | BPF_JA, 0));
  const size_t to_i386 = code.size() - 1;
  code.push_back(Load(offsetof(seccomp_data, nr)));
  code.push_back(Instruction(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1));
  code.push_back(Instruction(BPF_JMP | BPF_JA, static_cast<uint32_t>(x86_64.size())));
  Append(&code, x86_64);
  Append(&code, x32);
  code[to_i386].k = static_cast<uint32_t>(code.size() - to_i386 - 1);
  Append(&code, i386);
  return code;
}

}  // namespace

StatusOr<std::vector<uint8_t>> CompileProfile(const SeccompProfile& profile) {
  ASSIGN_OR_RETURN(const Code x86_64, ArchTree(profile, SCMP_ARCH_X86_64));
  ASSIGN_OR_RETURN(const Code x32, ArchTree(profile, SCMP_ARCH_X32));
  ASSIGN_OR_RETURN(const Code i386, ArchTree(profile, SCMP_ARCH_X86));
  const Code code = Assemble(x86_64, x32, i386);
  if (code.size() > BPF_MAXINSNS) {
    return absl::ResourceExhaustedError("compile seccomp profile: more than 4096 instructions");
  }
  std::vector<uint8_t> bytes(code.size() * sizeof(sock_filter));
  memcpy(bytes.data(), code.data(), bytes.size());
  return bytes;
}

}  // namespace crisp::runtime
