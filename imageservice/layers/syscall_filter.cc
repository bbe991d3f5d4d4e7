#include "imageservice/layers/syscall_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <vector>

namespace crisp::image {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "name the audit architecture of this machine"
#endif

// Files below "/", memory, threads, time; no socket, no exec, no mount, no ptrace.
constexpr int kAllowed[] = {
    SYS_read,         SYS_readv,       SYS_write,           SYS_writev,         SYS_pwrite64,
    SYS_close,        SYS_openat,      SYS_openat2,         SYS_mkdirat,        SYS_mknodat,
    SYS_symlinkat,    SYS_linkat,      SYS_unlinkat,        SYS_fchown,         SYS_fchownat,
    SYS_fchmod,       SYS_fchmodat,    SYS_utimensat,       SYS_fsetxattr,      SYS_lsetxattr,
    SYS_fstat,        SYS_newfstatat,  SYS_readlinkat,      SYS_getdents64,     SYS_lseek,
    SYS_ftruncate,    SYS_fchdir,      SYS_fstatfs,         SYS_mmap,           SYS_munmap,
    SYS_mremap,       SYS_brk,         SYS_madvise,         SYS_mprotect,       SYS_futex,
    SYS_rseq,         SYS_gettid,      SYS_set_robust_list, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_rt_sigaction, SYS_sched_yield, SYS_getrandom,       SYS_clock_gettime,  SYS_exit,
    SYS_exit_group,   SYS_getpid};

// New namespaces need no capability when a user namespace comes with them: refused in clone too.
constexpr uint32_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

sock_filter Load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
sock_filter Return(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
// Skips the next instruction unless equal.
sock_filter SkipUnless(uint32_t value) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1); }

}  // namespace

Outcome InstallSyscallFilter() {
  std::vector<sock_filter> program;
  program.push_back(Load(offsetof(seccomp_data, arch)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  program.push_back(Return(SECCOMP_RET_KILL_PROCESS));
  program.push_back(Load(offsetof(seccomp_data, nr)));
  for (const int number : kAllowed) {
    program.push_back(SkipUnless(static_cast<uint32_t>(number)));
    program.push_back(Return(SECCOMP_RET_ALLOW));
  }
  // Only what fdopendir needs: F_SETOWN and F_SETSIG would be a way to send signals, and this
  // process has the daemon's uid. For the same reason there is no kill or tgkill.
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 6));
  program.push_back(Load(offsetof(seccomp_data, args) + sizeof(uint64_t)));
  program.push_back(SkipUnless(F_GETFL));
  program.push_back(Return(SECCOMP_RET_ALLOW));
  program.push_back(SkipUnless(F_SETFD));
  program.push_back(Return(SECCOMP_RET_ALLOW));
  program.push_back(Return(SECCOMP_RET_ERRNO | ENOSYS));
  // clone3 hides its flags behind a pointer: ENOSYS makes libc use clone.
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0));
  program.push_back(Return(SECCOMP_RET_ERRNO | ENOSYS));
  program.push_back(Load(offsetof(seccomp_data, args)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kNamespaceFlags, 0, 1));
  program.push_back(Return(SECCOMP_RET_ERRNO | ENOSYS));
  program.push_back(Return(SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    return Outcome::System(errno, "seccomp");
  }
  return {};
}

}  // namespace crisp::image
