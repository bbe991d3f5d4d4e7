// Profile -> BPF. System call numbers are sorted, neighbours with the same answer merged to ranges,
// and the ranges looked up by a binary tree: when a filter is loaded, the kernel checks, translates
// and compiles every instruction and runs the filter once for each number, so a short program and a
// short path are what each start and each exec pays for. libseccomp gives the numbers, and is the
// reference that tests compare every answer with.
#include <linux/audit.h>
#include <seccomp.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "runtime/seccomp/call_numbers.h"
#include "runtime/seccomp/profile.h"
#include "runtime/seccomp/rule_code.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxJump = 255;  // a conditional jump's distance is one byte

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
  explicit Table(uint32_t default_action) : ranges_{{0, {Return(default_action)}}} {}

  // In ascending order.
  void Set(uint32_t first, Code leaf) {
    if (SameCode(ranges_.back().leaf, leaf)) return;
    if (ranges_.back().first == first) ranges_.pop_back();
    const bool merge = !ranges_.empty() && SameCode(ranges_.back().leaf, leaf);
    if (!merge) ranges_.push_back({first, std::move(leaf)});
  }
  Emitter::Place Emit(Emitter* emitter) const {
    const std::vector<Stretch> stretches = Stretches();
    return Emit(emitter, stretches.data(), stretches.size());
  }

 private:
  // Ranges of one answer with single numbers of other answers between them: such a number costs one
  // comparison instead of the two of its borders.
  struct Stretch {
    size_t begin, end;  // of ranges_: answer, number, answer, number, answer
  };
  static constexpr size_t kMaxNumbers = 3;  // each makes the path longer

  bool IsNumberWithin(size_t i) const {  // between two ranges of one answer
    return i + 1 < ranges_.size() && ranges_[i + 1].first == ranges_[i].first + 1 &&
           SameCode(ranges_[i - 1].leaf, ranges_[i + 1].leaf);
  }
  std::vector<Stretch> Stretches() const {
    std::vector<Stretch> all;
    for (size_t i = 0; i < ranges_.size(); i = all.back().end) {
      size_t end = i + 1;
      while (end - i < 2 * kMaxNumbers && IsNumberWithin(end)) end += 2;
      all.push_back({i, end});
    }
    return all;
  }
  Emitter::Place EmitStretch(Emitter* emitter, const Stretch& stretch) const {
    Emitter::Place place = emitter->Leaf(ranges_[stretch.begin].leaf);
    for (size_t i = stretch.begin + 1; i < stretch.end; i += 2) {
      const Emitter::Place number = emitter->Leaf(ranges_[i].leaf);
      place = emitter->Compare(BPF_JEQ, ranges_[i].first, number, place);
    }
    return place;
  }
  Emitter::Place Emit(Emitter* emitter, const Stretch* stretches, size_t count) const {
    if (count == 1) return EmitStretch(emitter, *stretches);
    const size_t half = count / 2;
    const Emitter::Place above = Emit(emitter, stretches + half, count - half);
    const Emitter::Place below = Emit(emitter, stretches, half);
    return emitter->Compare(BPF_JGE, ranges_[stretches[half].begin].first, above, below);
  }

  std::vector<Range> ranges_;
};

StatusOr<Table> TableOf(const SeccompProfile& profile, uint32_t arch) {
  const std::map<std::string, uint32_t>& numbers = CallNumbers(arch);
  std::map<uint32_t, std::vector<const SyscallRule*>> calls;
  for (const SyscallRule& rule : profile.rules) {
    const auto found = numbers.find(rule.name);
    if (found != numbers.end()) {
      calls[found->second].push_back(&rule);
    } else if (!IsSystemCall(rule.name)) {
      // A misspelt name must not silently be denied.
      return absl::InvalidArgumentError(
          absl::StrCat("compile seccomp profile: no system call \"", rule.name, "\""));
    }
  }
  const SyscallRule allowed{.name = ""};
  const bool x32 = arch == SCMP_ARCH_X32, wide = arch == SCMP_ARCH_X86_64;
  if (!x32) {
    for (const uint32_t number : profile.allowed_new) calls[number] = {&allowed};
  }
  const uint32_t others = profile.default_action;
  Table table(others);
  for (const auto& [number, rules] : calls) {
    table.Set(number, LeafCode(rules, others, wide));
    if (!calls.count(number + 1)) table.Set(number + 1, {Return(others)});
  }
  if (!x32 && profile.first_unknown != 0) {
    table.Set(profile.first_unknown, {Return(SeccompErrno(ENOSYS))});
    table.Set(kX32Bit, {Return(others)});
  }
  return table;
}

// Architecture first, then the number: the same number means something else on each.
Code Assemble(const Table& x86_64, const Table* x32, const Code& without_x32, const Table* i386) {
  const size_t number = offsetof(seccomp_data, nr), arch = offsetof(seccomp_data, arch);
  Emitter emitter;
  const Code kill = {Return(SECCOMP_RET_KILL_PROCESS)};
  const auto on_i386 = i386 ? emitter.LoadThen(number, i386->Emit(&emitter)) : emitter.Leaf(kill);
  const auto on_x32 = x32 ? x32->Emit(&emitter) : emitter.Leaf(without_x32);
  const auto native = x86_64.Emit(&emitter);
  const auto on_x86_64 =
      emitter.LoadThen(number, emitter.Compare(BPF_JGE, kX32Bit, on_x32, native));
  const auto other = emitter.Compare(BPF_JEQ, AUDIT_ARCH_I386, on_i386, emitter.Leaf(kill));
  emitter.LoadThen(arch, emitter.Compare(BPF_JEQ, AUDIT_ARCH_X86_64, on_x86_64, other));
  return emitter.Take();
}

}  // namespace

StatusOr<std::vector<uint8_t>> CompileProfile(const SeccompProfile& profile) {
  ASSIGN_OR_RETURN(const Table x86_64, TableOf(profile, SCMP_ARCH_X86_64));
  ASSIGN_OR_RETURN(const Table x32, TableOf(profile, SCMP_ARCH_X32));
  ASSIGN_OR_RETURN(const Table i386, TableOf(profile, SCMP_ARCH_X86));
  const Code without_x32 = {
      Return(profile.with_x32 ? SeccompErrno(ENOSYS) : SECCOMP_RET_KILL_PROCESS)};
  const Code code = Assemble(x86_64, profile.with_x32 && profile.kernel_has_x32 ? &x32 : nullptr,
                             without_x32, profile.with_i386 ? &i386 : nullptr);
  if (code.size() > BPF_MAXINSNS) {
    return absl::ResourceExhaustedError("compile seccomp profile: more than 4096 instructions");
  }
  std::vector<uint8_t> bytes(code.size() * sizeof(sock_filter));
  memcpy(bytes.data(), code.data(), bytes.size());
  return bytes;
}

}  // namespace crisp::runtime
