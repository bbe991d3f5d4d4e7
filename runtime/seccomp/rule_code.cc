#include "runtime/seccomp/rule_code.h"

#include <linux/seccomp.h>

namespace crisp::runtime {
namespace {

void Append(Code* to, const Code& more) { to->insert(to->end(), more.begin(), more.end()); }

// One word of an argument: the low one first in memory (x86 is little-endian).
enum class Word { kLow = 0, kHigh = 4 };
sock_filter LoadArg(const ArgTest& test, Word word) {
  return Load(offsetof(seccomp_data, args) + 8 * test.index + static_cast<size_t>(word));
}

// "Fail": the distance is filled in later. 0 is "go on", a small number "over the rest: it holds".
constexpr uint8_t kFail = 255;

sock_filter Jump(int comparison, uint32_t k, size_t if_true, size_t if_false) {
  return Instruction(BPF_JMP | comparison | BPF_K, k, if_true, if_false);
}

// The last comparison of a test, of the low word.
sock_filter LowJump(const ArgTest& test) {
  const auto low = static_cast<uint32_t>(test.value);
  switch (test.op) {
    case ArgTest::Op::kNotEqual:
    case ArgTest::Op::kLowWordNotEqual:
      return Jump(BPF_JEQ, low, kFail, 0);
    case ArgTest::Op::kGreater:
      return Jump(BPF_JGT, low, 0, kFail);
    case ArgTest::Op::kGreaterOrEqual:
      return Jump(BPF_JGE, low, 0, kFail);
    case ArgTest::Op::kLess:
      return Jump(BPF_JGE, low, kFail, 0);
    case ArgTest::Op::kLessOrEqual:
      return Jump(BPF_JGT, low, kFail, 0);
    default:
      return Jump(BPF_JEQ, low, 0, kFail);
  }
}

Code MaskedCode(const ArgTest& test, bool wide) {
  Code code;
  for (const Word word : {Word::kHigh, Word::kLow}) {
    const bool upper = word == Word::kHigh;
    const int shift = upper ? 32 : 0;
    const auto mask = static_cast<uint32_t>(test.mask >> shift);
    if ((upper && !wide) || mask == 0) continue;
    Append(&code, {LoadArg(test, word), Instruction(BPF_ALU | BPF_AND | BPF_K, mask),
                   Jump(BPF_JEQ, static_cast<uint32_t>(test.value >> shift) & mask, 0, kFail)});
  }
  return code;
}

Code TestCode(const ArgTest& test, bool wide) {
  if (test.op == ArgTest::Op::kMaskedEqual) return MaskedCode(test, wide);
  const Code low = {LoadArg(test, Word::kLow), LowJump(test)};
  if (!wide || test.op == ArgTest::Op::kLowWordNotEqual) return low;
  const auto high = static_cast<uint32_t>(test.value >> 32);
  Code code = {LoadArg(test, Word::kHigh)};
  switch (test.op) {
    case ArgTest::Op::kNotEqual:
      code.push_back(Jump(BPF_JEQ, high, 0, low.size()));
      break;
    case ArgTest::Op::kGreater:
    case ArgTest::Op::kGreaterOrEqual:
      Append(&code, {Jump(BPF_JGT, high, low.size() + 1, 0), Jump(BPF_JEQ, high, 0, kFail)});
      break;
    case ArgTest::Op::kLess:
    case ArgTest::Op::kLessOrEqual:
      Append(&code, {Jump(BPF_JGT, high, kFail, 0), Jump(BPF_JEQ, high, 0, low.size())});
      break;
    default:
      code.push_back(Jump(BPF_JEQ, high, 0, kFail));
  }
  Append(&code, low);
  return code;
}

// All tests hold: the rule's answer. Else on to what follows.
Code RuleCode(const SyscallRule& rule, bool wide) {
  Code code;
  for (const ArgTest& test : rule.tests) Append(&code, TestCode(test, wide));
  for (size_t i = 0; i < code.size(); ++i) {
    if (BPF_CLASS(code[i].code) != BPF_JMP) continue;
    const auto distance = static_cast<uint8_t>(code.size() - i);  // over the return
    if (code[i].jt == kFail) code[i].jt = distance;
    if (code[i].jf == kFail) code[i].jf = distance;
  }
  code.push_back(Return(rule.action));
  return code;
}

}  // namespace

sock_filter Instruction(int code, uint32_t k, size_t jump_true, size_t jump_false) {
  return {static_cast<uint16_t>(code), static_cast<uint8_t>(jump_true),
          static_cast<uint8_t>(jump_false), k};
}

sock_filter Load(size_t offset) {
  return Instruction(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}

sock_filter Return(uint32_t action) { return Instruction(BPF_RET | BPF_K, action); }

Code LeafCode(const std::vector<const SyscallRule*>& rules, uint32_t default_action, bool wide) {
  for (const SyscallRule* rule : rules) {
    if (rule->tests.empty()) return {Return(rule->action)};
  }
  Code code;
  for (const SyscallRule* rule : rules) Append(&code, RuleCode(*rule, wide));
  code.push_back(Return(default_action));
  return code;
}

}  // namespace crisp::runtime
