// The default filter loaded into a real process.
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "runtime/seccomp/filter.h"
#include "runtime/security/capabilities.h"

namespace crisp::runtime {
namespace {

constexpr int kLoadFailed = 250;

// The errno of `call` made under the filter, 0 for success.
int Under(uint64_t capabilities, const std::function<long()>& call) {
  const auto filter = DefaultSeccompFilter(capabilities);
  EXPECT_TRUE(filter.ok()) << filter.status();
  const pid_t child = fork();
  if (child == 0) {
    auto* bytes = const_cast<uint8_t*>((*filter)->bytes.data());
    sock_fprog program{
        .len = static_cast<unsigned short>((*filter)->bytes.size() / sizeof(sock_filter)),
        .filter = reinterpret_cast<sock_filter*>(bytes)};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
      _exit(kLoadFailed);
    }
    errno = 0;
    _exit(call() < 0 ? errno : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  return WEXITSTATUS(status);
}

int Under(const std::function<long()>& call) { return Under(DefaultCapabilities(), call); }

TEST(DefaultFilterLoaded, Denied) {
  EXPECT_EQ(Under([] { return mount("none", "/nonexistent", "tmpfs", 0, nullptr); }), EPERM);
  EXPECT_EQ(Under([] { return unshare(CLONE_NEWUSER); }), EPERM);
  EXPECT_EQ(Under([] { return syscall(SYS_clone, SIGCHLD | CLONE_NEWUTS, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(Under([] { return syscall(SYS_clone3, nullptr, 0); }), ENOSYS);
  EXPECT_EQ(Under([] { return personality(READ_IMPLIES_EXEC); }), EPERM);
  EXPECT_EQ(Under([] { return socket(AF_VSOCK, SOCK_STREAM, 0); }), EPERM);
  EXPECT_EQ(Under([] { return syscall(SYS_io_uring_setup, 0, nullptr); }), EPERM);
  EXPECT_EQ(Under([] { return syscall(SYS_keyctl, 0, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(Under([] { return syscall(SYS_bpf, 0, nullptr, 0); }), EPERM);
  EXPECT_EQ(Under([] { return syscall(1000); }), ENOSYS);
}

TEST(DefaultFilterLoaded, Allowed) {
  EXPECT_EQ(Under([] { return personality(0xffffffff); }), 0);
  EXPECT_EQ(Under([] { return socket(AF_INET, SOCK_STREAM, 0); }), 0);
  EXPECT_EQ(Under([] { return chroot("/"); }), 0);
  EXPECT_EQ(Under([]() -> long {
              const pid_t child = fork();
              if (child == 0) _exit(0);
              return child < 0 ? -1 : waitpid(child, nullptr, 0);
            }),
            0);
  // Reaches the kernel: the error is the call's own.
  EXPECT_EQ(Under([] { return syscall(452, -1, "x", 0, 0); }), EBADF);  // fchmodat2
}

TEST(DefaultFilterLoaded, CapabilityOpens) {
  const uint64_t admin = DefaultCapabilities() | uint64_t{1} << CAP_SYS_ADMIN;
  EXPECT_EQ(Under(admin, [] { return unshare(0); }), 0);
  EXPECT_EQ(Under(admin, [] { return syscall(SYS_clone3, nullptr, 0); }), EINVAL);
  EXPECT_EQ(Under(0, [] { return chroot("/"); }), EPERM);
}

}  // namespace
}  // namespace crisp::runtime
