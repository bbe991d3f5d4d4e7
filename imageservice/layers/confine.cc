#include "imageservice/layers/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "imageservice/layers/syscall_filter.h"
#include "runtime/sys/fd.h"
#include "runtime/sys/mount.h"

namespace crisp::image {
namespace {

constexpr rlim_t kMaxFile = rlim_t{64} << 30;
constexpr rlim_t kMaxMemory = rlim_t{384} << 20;  // address space: stacks and libraries included
constexpr rlim_t kMaxFds = 320;  // removing a replaced tree holds one per level (256)

constexpr int kKeptCapabilities[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                                     CAP_SETFCAP};

Outcome SetLimits() {
  const struct {
    __rlimit_resource resource;
    rlim_t limit;
  } limits[] = {{RLIMIT_FSIZE, kMaxFile},
                {RLIMIT_AS, kMaxMemory},
                {RLIMIT_NOFILE, kMaxFds},
                {RLIMIT_CORE, 0}};
  for (const auto& [resource, limit] : limits) {
    const rlimit value{limit, limit};
    if (setrlimit(resource, &value) != 0) return Outcome::System(errno, "setrlimit");
  }
  return {};
}

Outcome KeepFileCapabilities() {
  uint64_t kept = 0;
  for (const int capability : kKeptCapabilities) kept |= uint64_t{1} << capability;
  for (int capability = 0; capability < 64; ++capability) {
    if ((kept >> capability & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
      return Outcome::System(errno, "drop capability");
    }
  }
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  data[0].effective = data[0].permitted = static_cast<uint32_t>(kept);
  data[1].effective = data[1].permitted = static_cast<uint32_t>(kept >> 32);
  if (syscall(SYS_capset, &head, data) != 0) return Outcome::System(errno, "capset");
  return {};
}

}  // namespace

Outcome EnterLayerRoot(int directory) {
  // Cloned before the unshare: afterwards the descriptor's mount is one of a foreign namespace.
  UniqueFd root(sys::OpenTree(directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!root.valid()) return Outcome::System(errno, "open_tree");
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
    return Outcome::System(errno, "unshare");
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Outcome::System(errno, "make mounts private");
  }
  // Private: a clone of a shared mount (systemd's root is shared) is a peer, and pivot_root refuses
  // it.
  const sys::MountAttr attributes{MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0,
                                  MS_PRIVATE, 0};
  if (sys::MountSetattr(root.get(), "", AT_EMPTY_PATH, attributes) != 0) {
    return Outcome::System(errno, "mount_setattr");
  }
  // On top of "/", which exists everywhere; then the old root goes away from beneath.
  if (sys::MoveMount(root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return Outcome::System(errno, "move_mount");
  }
  if (fchdir(root.get()) != 0) return Outcome::System(errno, "chdir");
  if (syscall(SYS_pivot_root, ".", ".") == 0) {
    if (umount2(".", MNT_DETACH) != 0) return Outcome::System(errno, "umount of the old root");
  } else if (errno != EINVAL || chroot(".") != 0) {
    // EINVAL: the host runs from an initramfs, which cannot be pivoted away. The layer covers it,
    // and a process without CAP_SYS_CHROOT and foreign descriptors has no way back.
    return Outcome::System(errno, "pivot_root");
  }
  if (chdir("/") != 0) return Outcome::System(errno, "chdir");
  return {};
}

Outcome DropPrivileges() {
  OUTCOME_TRY(SetLimits());
  OUTCOME_TRY(KeepFileCapabilities());
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Outcome::System(errno, "set dumpable");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Outcome::System(errno, "no_new_privs");
  return InstallSyscallFilter();
}

}  // namespace crisp::image
