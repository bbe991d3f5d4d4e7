// The rule set that container images are tested against everywhere (Docker, containerd, CRI-O agree
// on it): an allow list; what needs a capability is allowed only with it; user namespaces cannot be
// made without CAP_SYS_ADMIN; no keyrings, no io_uring, no kexec, no new mount API.
#include <linux/capability.h>
#include <linux/personality.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_split.h"
#include "runtime/seccomp/profile.h"

namespace crisp::runtime {
namespace {

constexpr char kFiles[] =
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 "
    "faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat "
    "fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr "
    "fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat "
    "getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr llistxattr _llseek "
    "lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at "
    "newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 "
    "read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile "
    "sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat sync "
    "sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vmsplice write writev landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self";

constexpr char kWaiting[] =
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 futex futex_time64 futex_waitv io_cancel io_destroy "
    "io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pause poll "
    "ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4";

constexpr char kMemory[] =
    "brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
    "process_mrelease remap_file_pages";

constexpr char kNetwork[] =
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall "
    "socketpair";

constexpr char kIpc[] =
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop "
    "semtimedop_time64 shmat shmctl shmdt shmget";

constexpr char kTime[] =
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep "
    "setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime timerfd_settime64 times";

constexpr char kProcesses[] =
    "arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area "
    "getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid "
    "getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 "
    "getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill modify_ldt "
    "pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace "
    "restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area "
    "set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 "
    "setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid "
    "setreuid32 setrlimit setsid setuid setuid32 sigaltstack sigprocmask sigreturn sysinfo tgkill "
    "tkill ugetrlimit uname vfork wait4 waitid waitpid";

struct CapabilityCalls {
  int capability;
  const char* names;
};
// bpf, perf_event_open and syslog stand twice: CAP_SYS_ADMIN includes the finer ones.
constexpr CapabilityCalls kWithCapability[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_SYS_ADMIN,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
     "mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module finit_module init_module"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"},
    {CAP_SYS_RAWIO, "ioperm iopl"},
    {CAP_SYS_TIME, "clock_settime clock_settime64 settimeofday stime"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_SYSLOG, "syslog"},
    {CAP_BPF, "bpf"},
    {CAP_PERFMON, "perf_event_open"},
};

// Newer than libseccomp 2.5.4 (Debian 12), which ends at set_mempolicy_home_node (450).
constexpr uint32_t kFirstNew = 451;
constexpr uint32_t kAllowedNew[] = {
    451,                 // cachestat, 6.5
    452,                 // fchmodat2, 6.6
    453,                 // map_shadow_stack, 6.6
    454, 455, 456,       // futex_wake, futex_wait, futex_requeue, 6.7
    457, 458,            // statmount, listmount, 6.8
    462,                 // mseal, 6.10
    463, 464, 465, 466,  // {set,get,list,remove}xattrat, 6.13
    468, 469,            // file_getattr, file_setattr, 6.17
};

void Allow(SeccompProfile* profile, absl::string_view names) {
  for (absl::string_view name : absl::StrSplit(names, ' ')) {
    profile->rules.push_back({.name = std::string(name)});
  }
}

void AllowIf(SeccompProfile* profile, const char* name, const ArgTest& test) {
  profile->rules.push_back({.name = name, .tests = {test}});
}

bool Has(uint64_t capabilities, int number) { return (capabilities >> number & 1) != 0; }

// No hypervisor sockets (they bypass every network policy); only personalities without a security
// effect (READ_IMPLIES_EXEC and ADDR_NO_RANDOMIZE have one).
void AllowByArgument(SeccompProfile* profile) {
  AllowIf(profile, "socket", {.op = ArgTest::Op::kLowWordNotEqual, .index = 0, .value = AF_VSOCK});
  constexpr uint64_t kQuery = 0xffffffff;
  for (const uint64_t persona : {uint64_t{PER_LINUX}, uint64_t{PER_LINUX32}, uint64_t{UNAME26},
                                 uint64_t{PER_LINUX32} | UNAME26, kQuery}) {
    AllowIf(profile, "personality", {.op = ArgTest::Op::kEqual, .index = 0, .value = persona});
  }
}

// clone without new namespaces; clone3's flags lie in memory, so it "does not exist" and libc falls
// back to clone.
void RestrictClone(SeccompProfile* profile) {
  constexpr uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                   CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
  AllowIf(profile, "clone",
          {.op = ArgTest::Op::kMaskedEqual, .index = 0, .value = 0, .mask = kNamespaces});
  profile->rules.push_back({.name = "clone3", .action = SeccompErrno(ENOSYS)});
}

}  // namespace

uint64_t DefaultProfileCapabilities() {
  uint64_t mask = 0;
  for (const CapabilityCalls& group : kWithCapability) mask |= uint64_t{1} << group.capability;
  return mask;
}

SeccompProfile DefaultProfile(uint64_t capabilities) {
  SeccompProfile profile{.default_action = SeccompErrno(EPERM)};
  profile.first_new = kFirstNew;
  profile.first_unknown = kFirstUnknownCall;
  profile.allowed_new.assign(std::begin(kAllowedNew), std::end(kAllowedNew));
  for (const char* names : {kFiles, kWaiting, kMemory, kNetwork, kIpc, kTime, kProcesses}) {
    Allow(&profile, names);
  }
  AllowByArgument(&profile);
  for (const CapabilityCalls& group : kWithCapability) {
    if (Has(capabilities, group.capability)) Allow(&profile, group.names);
  }
  if (Has(capabilities, CAP_SYS_ADMIN)) {
    profile.allowed_new.push_back(467);  // open_tree_attr, 6.15
  } else {
    RestrictClone(&profile);
  }
  return profile;
}

}  // namespace crisp::runtime
