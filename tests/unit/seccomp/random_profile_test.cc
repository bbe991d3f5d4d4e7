// Random profiles: the compiled program answers every probe as its rules say when read one after
// the other, and as libseccomp's program does.
#include <gtest/gtest.h>

#include <seccomp.h>

#include <cerrno>
#include <functional>
#include <random>

#include "runtime/seccomp/call_numbers.h"
#include "runtime/seccomp/profile.h"
#include "tests/unit/seccomp/bpf_eval.h"
#include "tests/unit/seccomp/reference_compiler.h"

namespace crisp::runtime {
namespace {

// None that i386 multiplexes: there libseccomp adds rules for socketcall(2) and ipc(2).
constexpr const char* kNames[] = {"read",   "write",  "openat", "ioctl",       "fcntl",    "prctl",
                                  "kill",   "mmap",   "clone",  "personality", "mprotect", "chmod",
                                  "rename", "execve", "stat64", "waitpid"};
constexpr uint64_t kValues[] = {0,
                                1,
                                2,
                                7,
                                0x80000000,
                                0xfffffffe,
                                0xffffffff,
                                1ull << 32,
                                (1ull << 32) + 1,
                                7ull << 32,
                                ~uint64_t{0},
                                0x7e020000};
constexpr uint32_t kActions[] = {
    SECCOMP_RET_ALLOW,       SeccompErrno(EPERM), SeccompErrno(ENOSYS), SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,    SECCOMP_RET_LOG,      SECCOMP_RET_TRACE | 5};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  template <typename T, size_t N>
  T Of(const T (&list)[N]) {
    return list[Below(N)];
  }
  size_t Below(size_t count) { return engine_() % count; }

 private:
  std::mt19937 engine_;
};

ArgTest RandomTest(Random& random, unsigned index) {
  const auto op = static_cast<ArgTest::Op>(random.Below(7));  // all but kLowWordNotEqual
  const uint64_t mask = random.Of(kValues);
  const uint64_t value = random.Of(kValues);
  return {op, index, op == ArgTest::Op::kMaskedEqual ? value & mask : value, mask};
}

// kTame: what libseccomp gets right. It merges the rules of one call into a tree, and where those
// use different operators on one argument, its answers are not what the rules say.
enum class Kind { kTame, kWild };

std::vector<ArgTest> RandomTests(Random& random, Kind kind, bool only) {
  if (kind == Kind::kTame && !only) return {{ArgTest::Op::kEqual, 0, random.Of(kValues)}};
  std::vector<ArgTest> tests;
  for (unsigned index = 0; index < 6; ++index) {
    if (random.Below(4) == 0) tests.push_back(RandomTest(random, index));
  }
  return tests;
}

SeccompProfile RandomProfile(uint32_t seed, Kind kind) {
  Random random(seed);
  SeccompProfile profile{.default_action = random.Of(kActions)};
  profile.with_i386 = random.Below(3) != 0;
  profile.with_x32 = random.Below(3) != 0;
  for (const char* name : kNames) {
    const uint32_t action = random.Of(kActions);
    if (action == profile.default_action || random.Below(3) == 0) continue;
    const size_t rules = random.Below(3) + 1;
    for (size_t i = 0; i < rules; ++i) {
      profile.rules.push_back({name, action, RandomTests(random, kind, rules == 1)});
    }
  }
  return profile;
}

seccomp_data Probe(Random& random, uint32_t arch, uint32_t number) {
  seccomp_data call = Call(arch, number);
  for (auto& arg : call.args) {
    arg = random.Of(kValues);
    if (arch == AUDIT_ARCH_I386) arg &= 0xffffffff;
  }
  return call;
}

std::string Rules(const SeccompProfile& profile, const seccomp_data& call) {
  std::string text;
  for (const auto arg : call.args) absl::StrAppend(&text, " ", absl::Hex(arg));
  for (const SyscallRule& rule : profile.rules) {
    absl::StrAppend(&text, "\n", rule.name, " -> ", absl::Hex(rule.action));
    for (const ArgTest& test : rule.tests) {
      absl::StrAppend(&text, ", arg", test.index, " op", static_cast<int>(test.op), " ",
                      absl::Hex(test.value), " mask ", absl::Hex(test.mask));
    }
  }
  return text;
}

bool Holds(const ArgTest& test, const seccomp_data& call, bool wide) {
  const uint64_t kept = wide ? ~uint64_t{0} : 0xffffffff;
  const uint64_t argument = call.args[test.index] & kept, value = test.value & kept;
  switch (test.op) {
    case ArgTest::Op::kEqual:
      return argument == value;
    case ArgTest::Op::kNotEqual:
      return argument != value;
    case ArgTest::Op::kLess:
      return argument < value;
    case ArgTest::Op::kLessOrEqual:
      return argument <= value;
    case ArgTest::Op::kGreater:
      return argument > value;
    case ArgTest::Op::kGreaterOrEqual:
      return argument >= value;
    case ArgTest::Op::kMaskedEqual:
      return (argument & test.mask) == value;
    case ArgTest::Op::kLowWordNotEqual:
      return (argument & 0xffffffff) != value;
  }
  return false;
}

// What the rules say, read one after the other.
uint32_t Plainly(const SeccompProfile& profile, const seccomp_data& call) {
  const auto number = static_cast<uint32_t>(call.nr);
  const bool i386 = call.arch == AUDIT_ARCH_I386;
  const bool x32 = call.arch == AUDIT_ARCH_X86_64 && number >= kX32Bit;
  const bool foreign = !i386 && call.arch != AUDIT_ARCH_X86_64;
  if (foreign || (i386 && !profile.with_i386) || (x32 && !profile.with_x32)) {
    return SECCOMP_RET_KILL_PROCESS;
  }
  const auto& numbers = CallNumbers(i386 ? SCMP_ARCH_X86 : x32 ? SCMP_ARCH_X32 : SCMP_ARCH_X86_64);
  uint32_t answer = profile.default_action;
  bool found = false;
  for (const SyscallRule& rule : profile.rules) {
    const auto at = numbers.find(rule.name);
    if (at == numbers.end() || at->second != number) continue;
    if (rule.tests.empty()) return rule.action;
    bool holds = !found;
    for (const ArgTest& test : rule.tests) holds = holds && Holds(test, call, !i386 && !x32);
    if (holds) answer = rule.action;
    found |= holds;
  }
  return answer;
}

using Answer = std::function<uint32_t(const seccomp_data&)>;

void Compare(uint32_t seed, const SeccompProfile& profile, const Answer& expected) {
  const auto ours = CompileProfile(profile);
  ASSERT_TRUE(ours.ok()) << ours.status();
  Random random(seed);
  const auto check = [&](uint32_t arch, uint32_t number) {
    const seccomp_data call = Probe(random, arch, number);
    ASSERT_EQ(EvalBpf(*ours, call), expected(call))
        << "seed " << seed << " arch " << arch << " call " << number << Rules(profile, call);
  };
  for (const char* name : kNames) {
    for (int i = 0; i < 60; ++i) {
      for (const auto& [lib, arch] :
           {std::pair<uint32_t, uint32_t>{SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64},
            {SCMP_ARCH_X86, AUDIT_ARCH_I386},
            {SCMP_ARCH_X32, AUDIT_ARCH_X86_64}}) {
        const auto found = CallNumbers(lib).find(name);
        if (found != CallNumbers(lib).end()) check(arch, found->second);
      }
    }
  }
  for (uint32_t number = 0; number < 600; ++number) {
    check(AUDIT_ARCH_X86_64, number);
    check(AUDIT_ARCH_X86_64, number | kX32Bit);
    check(AUDIT_ARCH_I386, number);
    check(AUDIT_ARCH_AARCH64, number);
  }
}

TEST(RandomProfile, DoesWhatTheRulesSay) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SeccompProfile profile = RandomProfile(seed, Kind::kWild);
    uint32_t next = seed;  // contradictions
    for (SyscallRule& rule : profile.rules) rule.action = kActions[next++ % 8];
    Compare(seed, profile, [&](const seccomp_data& call) { return Plainly(profile, call); });
    if (HasFatalFailure()) return;
  }
}

TEST(RandomProfile, AnswersAsTheReferenceDoes) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    const SeccompProfile profile = RandomProfile(seed, Kind::kTame);
    const auto reference = CompileByReference(profile);
    ASSERT_TRUE(reference.ok()) << reference.status();
    Compare(seed, profile, [&](const seccomp_data& call) { return EvalBpf(*reference, call); });
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace crisp::runtime
