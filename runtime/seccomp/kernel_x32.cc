// Whether this kernel takes x32 calls, asked once and by a child: where a filter forbids the
// question (systemd's SystemCallArchitectures=native) it is the child that dies.
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/seccomp/profile.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {
namespace {

constexpr long kX32Bit = 0x40000000;

bool AskKernel() {
  int raw = -1;
  sys::CloneArgs args{};
  args.flags = CLONE_PIDFD;  // own memory: this process may have other threads
  args.pidfd = reinterpret_cast<uint64_t>(&raw);
  args.exit_signal = SIGCHLD;
  const pid_t pid = sys::Clone3(args);
  if (pid == 0) _exit(syscall(kX32Bit | SYS_getpid) > 0 ? 1 : 0);
  if (pid < 0) return true;
  const UniqueFd pidfd(raw);
  siginfo_t info{};
  const int waited = sys::Retry([&] {
    return waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd.get()), &info, WEXITED);
  });
  return waited != 0 || (info.si_code == CLD_EXITED && info.si_status != 0);
}

}  // namespace

StatusOr<std::vector<uint8_t>> CompileForKernel(SeccompProfile profile) {
  static const bool has_x32 = AskKernel();
  profile.kernel_has_x32 = has_x32;
  return CompileProfile(profile);
}

}  // namespace crisp::runtime
