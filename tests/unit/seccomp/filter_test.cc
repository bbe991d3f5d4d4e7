#include "runtime/seccomp/filter.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <map>
#include <set>
#include <thread>

#include "runtime/seccomp/profile.h"
#include "runtime/security/capabilities.h"
#include "tests/unit/seccomp/bpf_eval.h"
#include "tests/unit/seccomp/reference_compiler.h"

namespace crisp::runtime {
namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM, kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint32_t kX32 = 0x40000000;

SeccompFilter Filter(uint64_t capabilities) {
  auto filter = DefaultSeccompFilter(capabilities);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() ? *filter : nullptr;
}

uint32_t Eval(uint64_t capabilities, uint32_t number, uint64_t arg0 = 0,
              uint32_t arch = AUDIT_ARCH_X86_64) {
  static std::map<uint64_t, std::vector<uint8_t>> programs;  // whatever this kernel knows
  std::vector<uint8_t>& program = programs[capabilities];
  if (program.empty()) program = *CompileProfile(DefaultProfile(capabilities));
  return EvalBpf(program, Call(arch, number, arg0));
}

uint64_t Caps(int capability) { return DefaultCapabilities() | uint64_t{1} << capability; }

TEST(DefaultFilter, EveryNumberDoesWhatTheProfileSays) {
  for (const uint64_t caps : {uint64_t{0}, DefaultCapabilities(), ~uint64_t{0}}) {
    std::set<std::string> allowed;
    for (const SyscallRule& rule : DefaultProfile(caps).rules) {
      if (rule.action == SECCOMP_RET_ALLOW && rule.tests.empty()) allowed.insert(rule.name);
    }
    const std::set<std::string> by_argument = {"socket", "personality", "clone", "clone3"};
    for (const uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}}) {
      for (int number = 0; number <= 450; ++number) {
        char* name = seccomp_syscall_resolve_num_arch(
            arch == AUDIT_ARCH_X86_64 ? SCMP_ARCH_X86_64 : SCMP_ARCH_X86, number);
        const std::string text = name ? name : "";
        free(name);
        if (by_argument.count(text) && !allowed.count(text)) continue;
        EXPECT_EQ(Eval(caps, static_cast<uint32_t>(number), 0, arch),
                  allowed.count(text) ? kAllow : kEperm)
            << text << " " << number << " caps " << caps << " arch " << arch;
      }
    }
  }
}

TEST(DefaultFilter, EveryNameIsKnownOnce) {
  std::set<std::string> seen;
  for (const SyscallRule& rule : DefaultProfile(DefaultCapabilities()).rules) {
    EXPECT_NE(seccomp_syscall_resolve_name(rule.name.c_str()), __NR_SCMP_ERROR) << rule.name;
    if (rule.tests.empty()) {
      EXPECT_TRUE(seen.insert(rule.name).second) << rule.name;
    }
  }
  EXPECT_GT(seen.size(), 330u);
}

TEST(DefaultFilter, DeniedToEveryContainer) {
  for (const uint32_t number :
       {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_keyctl, SYS_add_key,
        SYS_request_key, SYS_kexec_load, SYS_kexec_file_load, SYS_swapon, SYS_swapoff,
        SYS_pivot_root, SYS_userfaultfd, SYS_nfsservctl, SYS_uselib, SYS_create_module,
        SYS_move_pages, SYS_migrate_pages}) {
    EXPECT_EQ(Eval(~uint64_t{0}, number), kEperm) << number;
    EXPECT_EQ(Eval(~uint64_t{0}, number | kX32), kEperm) << number;
  }
}

TEST(DefaultFilter, CloneFlags) {
  const uint64_t caps = DefaultCapabilities();
  EXPECT_EQ(Eval(caps, SYS_clone, SIGCHLD | CLONE_VM | CLONE_FS), kAllow);
  for (const uint64_t flag : {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID,
                              CLONE_NEWNET, CLONE_NEWCGROUP}) {
    EXPECT_EQ(Eval(caps, SYS_clone, SIGCHLD | flag), kEperm);
    EXPECT_EQ(Eval(caps, SYS_clone | kX32, SIGCHLD | flag), kEperm);
    EXPECT_EQ(Eval(caps, 120, SIGCHLD | flag, AUDIT_ARCH_I386), kEperm);
    EXPECT_EQ(Eval(Caps(CAP_SYS_ADMIN), SYS_clone, SIGCHLD | flag), kAllow);
  }
  EXPECT_EQ(Eval(caps, SYS_clone3), kEnosys);
  EXPECT_EQ(Eval(caps, SYS_clone3, 0, AUDIT_ARCH_I386), kEnosys);
  EXPECT_EQ(Eval(Caps(CAP_SYS_ADMIN), SYS_clone3), kAllow);
}

TEST(DefaultFilter, PersonalityAndSocket) {
  for (const uint64_t good : {0x0, 0x8, 0x20000, 0x20008}) {
    EXPECT_EQ(Eval(0, SYS_personality, good), kAllow) << good;
  }
  EXPECT_EQ(Eval(0, SYS_personality, 0xffffffff), kAllow);
  for (const uint64_t bad : {0x1, 0x0040000, 0x0400000, 0x20001}) {
    EXPECT_EQ(Eval(0, SYS_personality, bad), kEperm) << bad;
  }
  EXPECT_EQ(Eval(0, SYS_socket, AF_INET), kAllow);
  EXPECT_EQ(Eval(0, SYS_socket, AF_VSOCK), kEperm);
  // The kernel takes the family as an int: the upper half must not hide it.
  EXPECT_EQ(Eval(0, SYS_socket, uint64_t{1} << 32 | AF_VSOCK), kEperm);
  EXPECT_EQ(Eval(0, SYS_personality, uint64_t{1} << 32), kEperm);
  EXPECT_EQ(Eval(0, 359, AF_VSOCK, AUDIT_ARCH_I386), kEperm);
}

TEST(DefaultFilter, CapabilityOpensItsCalls) {
  struct Case {
    int capability;
    uint32_t number;
  };
  for (const Case& c : std::vector<Case>{{CAP_SYS_ADMIN, SYS_mount},
                                         {CAP_SYS_ADMIN, SYS_unshare},
                                         {CAP_SYS_ADMIN, SYS_setns},
                                         {CAP_SYS_CHROOT, SYS_chroot},
                                         {CAP_SYS_BOOT, SYS_reboot},
                                         {CAP_SYS_MODULE, SYS_init_module},
                                         {CAP_SYS_TIME, SYS_settimeofday},
                                         {CAP_SYS_PTRACE, SYS_kcmp},
                                         {CAP_SYS_NICE, SYS_mbind},
                                         {CAP_SYSLOG, SYS_syslog},
                                         {CAP_BPF, SYS_bpf},
                                         {CAP_PERFMON, SYS_perf_event_open},
                                         {CAP_DAC_READ_SEARCH, SYS_open_by_handle_at}}) {
    EXPECT_EQ(Eval(0, c.number), kEperm) << c.number;
    EXPECT_EQ(Eval(uint64_t{1} << c.capability, c.number), kAllow) << c.number;
  }
}

TEST(DefaultFilter, NewAndUnknownNumbers) {
  for (const uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}}) {
    EXPECT_EQ(Eval(0, 452, 0, arch), kAllow);  // fchmodat2
    EXPECT_EQ(Eval(0, 469, 0, arch), kAllow);  // file_setattr
    EXPECT_EQ(Eval(0, 460, 0, arch), kEperm);  // lsm_set_self_attr
    EXPECT_EQ(Eval(0, 467, 0, arch), kEperm);  // open_tree_attr
    EXPECT_EQ(Eval(Caps(CAP_SYS_ADMIN), 467, 0, arch), kAllow);
    EXPECT_EQ(Eval(0, 470, 0, arch), kEnosys);
    EXPECT_EQ(Eval(0, 100000, 0, arch), kEnosys);
  }
  EXPECT_EQ(Eval(0, 470 | kX32), kEperm);
  // A foreign architecture never gets through.
  EXPECT_NE(Eval(0, SYS_read, 0, AUDIT_ARCH_AARCH64), kAllow);
  EXPECT_NE(Eval(0, 452, 0, AUDIT_ARCH_AARCH64), kAllow);
}

TEST(DefaultFilter, CachedByWhatMatters) {
  const SeccompFilter first = Filter(DefaultCapabilities());
  EXPECT_EQ(first, Filter(DefaultCapabilities() | CAP_TO_MASK(CAP_NET_ADMIN)));
  EXPECT_NE(first, Filter(Caps(CAP_SYS_ADMIN)));
  EXPECT_NE(first->digest, Filter(Caps(CAP_SYS_ADMIN))->digest);
}

TEST(DefaultFilter, ConcurrentUsersShareOneProgram) {
  std::vector<SeccompFilter> got(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&got, i] { got[i] = Filter(Caps(CAP_SYS_PACCT)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const SeccompFilter& filter : got) EXPECT_EQ(filter, got[0]);
}

// Every number of every architecture, with arguments around all that rules look at.
TEST(CompileProfile, AnswersAsTheReferenceDoes) {
  std::vector<uint64_t> arguments = {0,  1,  2,   8,       39,      40,         41,
                                     42, 64, 255, 0x20000, 0x20008, 0x7e020000, 0xffffffff};
  for (int bit = 0; bit < 32; ++bit) arguments.push_back(uint64_t{1} << bit);
  std::vector<uint64_t> masks = {0, DefaultCapabilities(), ~uint64_t{0}};
  for (int bit = 0; bit <= 40; ++bit) masks.push_back(uint64_t{1} << bit);
  std::set<uint64_t> seen;
  for (const uint64_t caps : masks) {
    if (!seen.insert(caps & DefaultProfileCapabilities()).second) continue;
    const auto ours = CompileProfile(DefaultProfile(caps));
    const auto reference = CompileByReference(DefaultProfile(caps));
    ASSERT_TRUE(ours.ok() && reference.ok()) << ours.status() << reference.status();
    for (const uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}}) {
      for (const uint32_t base : {0u, kX32, kX32 - 300, 0x7fffff00u, 0xffffff00u}) {
        for (uint32_t i = 0; i < (base < kX32 + 1 ? 620u : 256u); ++i) {
          for (const uint64_t argument : arguments) {
            const seccomp_data call = Call(arch, base + i, argument);
            ASSERT_EQ(EvalBpf(*ours, call), EvalBpf(*reference, call))
                << "arch " << arch << " call " << base + i << " argument " << argument << " caps "
                << caps;
          }
        }
      }
    }
  }
}

TEST(CompileProfile, WithoutX32OnlyItsCallsAnswerOtherwise) {
  SeccompProfile profile = DefaultProfile(DefaultCapabilities());
  const auto with = CompileProfile(profile);
  profile.kernel_has_x32 = false;
  const auto without = CompileProfile(profile);
  ASSERT_TRUE(with.ok() && without.ok());
  for (uint32_t number = 0; number < 620; ++number) {
    for (const uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}})
      EXPECT_EQ(EvalBpf(*with, Call(arch, number)), EvalBpf(*without, Call(arch, number)));
    EXPECT_EQ(EvalBpf(*without, Call(AUDIT_ARCH_X86_64, kX32 + number)), kEnosys);
  }
}

TEST(CompileProfile, Short) {
  SeccompProfile profile = DefaultProfile(DefaultCapabilities());
  EXPECT_LT(CompileProfile(profile)->size() / sizeof(sock_filter), 320u);
  profile.kernel_has_x32 = false;
  EXPECT_LT(CompileProfile(profile)->size() / sizeof(sock_filter), 240u);
}

TEST(CompileProfile, MisspeltNameIsAnError) {
  SeccompProfile profile{.rules = {{.name = "raed"}}, .default_action = kEperm};
  EXPECT_EQ(CompileProfile(profile).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace crisp::runtime
