#include "runtime/container/pid_proc.h"

#include "runtime/sys/clone.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {

StatusOr<UniqueFd> MakePidProc(int pidfd, const KernelFeatures& features) {
  if (!features.proc_pidns) return UniqueFd();
  const UniqueFd pidns(sys::PidfdPidNamespace(pidfd));
  if (!pidns.valid()) return ErrnoStatus(errno, "open pid namespace");
  const UniqueFd context(sys::Fsopen("proc"));
  if (!context.valid() || sys::FsconfigFd(context.get(), "pidns", pidns.get()) != 0 ||
      sys::FsconfigCreate(context.get()) != 0) {
    return ErrnoStatus(errno, "make procfs of a pid namespace");
  }
  UniqueFd proc(
      sys::Fsmount(context.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!proc.valid()) return ErrnoStatus(errno, "mount procfs of a pid namespace");
  return proc;
}

}  // namespace crisp::runtime
