#include "runtime/init/launch_steps.h"

#include "runtime/init/launcher.h"

namespace crisp::init {

const char* StepName(int step) {
  static const char* const kNames[] = {
      "none",
      "read plan",
      "clone",
      "close descriptors",
      "set oom_score_adj",
      "find procfs of the pid namespace",
      "set AppArmor profile",
      "set SELinux label",
      "join cgroups",
      "join namespaces",
      "make cgroup namespace",
      "mount procfs and sysfs for the user namespace",
      "join user namespace",
      "make mount namespace",
      "make mount tree private",
      "make masks",
      "change root",
      "mount /proc",
      "mount /dev",
      "mount /sys",
      "mount /sys/fs/cgroup",
      "mount /dev/mqueue",
      "mount /dev/shm",
      "mount",
      "mount /dev/console",
      "mask",
      "make read-only",
      "detach old root",
      "change to working directory",
      "make root read-only",
      "set rlimit",
      "start session",
      "join keyring",
      "open terminal",
      "connect stdio",
      "join pid namespace",
      "set groups",
      "drop bounding set",
      "set user",
      "set capabilities",
      "set no_new_privs",
      "execve",  // kProgram: the search is a part of execve for the reader of a message
      "close descriptors",
      "reset signals",
      "load seccomp filter",
      "enter pid namespace",
      "execve",
  };
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<int>(Step::kCount));
  if (step < 0 || step >= static_cast<int>(Step::kCount)) return "unknown step";
  return kNames[step];
}

}  // namespace crisp::init
