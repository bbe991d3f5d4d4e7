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

// Writes a program from its end to its start, so that every jump goes to something that is already
// there. A place is a distance from the end.
class Emitter {
 public:
  using Place = size_t;

  Place Leaf(const Code& leaf) {
    if (leaf.size() > 1) return Block(leaf);
    const auto known = returns_.find(leaf[0].k);
    if (known != returns_.end() && Near(known->second)) return known->second;
    return returns_[leaf[0].k] = Push(leaf[0]);
  }

  // "If the number is at least `k` go to `above`, else to `below`"; both may be anywhere.
  Place Compare(int comparison, uint32_t k, Place above, Place below) {
    above = Reachable(above);
    below = Reachable(below);
    above = Reachable(above);  // the line before may have pushed it out of reach
    return Push(Instruction(BPF_JMP | comparison | BPF_K, k, Distance(above), Distance(below)));
  }

  Place LoadThen(size_t offset, Place next) {
    if (next + 1 != code_.size()) Push(Jump(next));
    return Push(Load(offset));
  }

  Code Take() { return Code(code_.rbegin(), code_.rend()); }

 private:
  Place Push(const sock_filter& instruction) {
    code_.push_back(instruction);
    return code_.size() - 1;
  }
  Place Block(const Code& block) {
    for (size_t i = block.size(); i-- > 0;) Push(block[i]);
    return code_.size() - 1;
  }
  size_t Distance(Place place) const { return code_.size() - place - 1; }
  // With room for the jumps that Compare may put in between.
  bool Near(Place place) const { return Distance(place) + 2 <= kMaxJump; }
  sock_filter Jump(Place place) const {
    return Instruction(BPF_JMP | BPF_JA, static_cast<uint32_t>(Distance(place)));
  }
  Place Reachable(Place place) {
    if (Near(place)) return place;
    const bool is_return = code_[place].code == (BPF_RET | BPF_K);
    return Push(is_return ? code_[place] : Jump(place));
  }

  Code code_;
  std::map<uint32_t, Place> returns_;  // the nearest return of each kind
};

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
  Emitter::Place Emit(Emitter* emitter) const { return Emit(emitter, 0, ranges_.size()); }

 private:
  Emitter::Place Emit(Emitter* emitter, size_t begin, size_t end) const {
    if (end - begin == 1) return emitter->Leaf(ranges_[begin].leaf);
    const size_t middle = begin + (end - begin) / 2;
    const Emitter::Place above = Emit(emitter, middle, end);
    const Emitter::Place below = Emit(emitter, begin, middle);
    return emitter->Compare(BPF_JGE, ranges_[middle].first, above, below);
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

StatusOr<Table> TableOf(const SeccompProfile& profile, uint32_t arch) {
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
  return table;
}

// Architecture first, then the number: the same number means something else on each.
Code Assemble(const Table& x86_64, const Table& x32, const Table& i386) {
  const size_t number = offsetof(seccomp_data, nr), arch = offsetof(seccomp_data, arch);
  Emitter emitter;
  const auto foreign = emitter.Leaf({Instruction(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)});
  const auto on_i386 = emitter.LoadThen(number, i386.Emit(&emitter));
  const auto on_x32 = x32.Emit(&emitter);
  const auto native = x86_64.Emit(&emitter);
  const auto on_x86_64 =
      emitter.LoadThen(number, emitter.Compare(BPF_JGE, kX32Bit, on_x32, native));
  const auto other = emitter.Compare(BPF_JEQ, AUDIT_ARCH_I386, on_i386, foreign);
  emitter.LoadThen(arch, emitter.Compare(BPF_JEQ, AUDIT_ARCH_X86_64, on_x86_64, other));
  return emitter.Take();
}

}  // namespace

StatusOr<std::vector<uint8_t>> CompileProfile(const SeccompProfile& profile) {
  ASSIGN_OR_RETURN(const Table x86_64, TableOf(profile, SCMP_ARCH_X86_64));
  ASSIGN_OR_RETURN(const Table x32, TableOf(profile, SCMP_ARCH_X32));
  ASSIGN_OR_RETURN(const Table i386, TableOf(profile, SCMP_ARCH_X86));
  const Code code = Assemble(x86_64, x32, i386);
  if (code.size() > BPF_MAXINSNS) {
    return absl::ResourceExhaustedError("compile seccomp profile: more than 4096 instructions");
  }
  std::vector<uint8_t> bytes(code.size() * sizeof(sock_filter));
  memcpy(bytes.data(), code.data(), bytes.size());
  return bytes;
}

}  // namespace crisp::runtime
