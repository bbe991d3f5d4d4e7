// What this kernel can do, probed once at start. Each flag has a tested fall-back and can be
// switched off by the debug setting `debug.kernel_features_off = ["name", ...]` (or
// CRISP_FEATURES_OFF=name,name in tests).
#pragma once

#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp {

struct KernelFeatures {
  bool overlay_lowerdir_plus =
      false;  // 6.7: fsconfig "lowerdir+" per layer; else mount(2) with relative names
  bool clone_detached_mount =
      false;  // 6.15: open_tree(CLONE) on a detached mount; else it is attached first
  bool pidfd_exit_info = false;  // 6.15: PIDFD_GET_INFO tells the exit status after the reap
  bool proc_pidns = false;       // 6.17: procfs "pidns=": of a pid namespace without being in it
  bool user_namespaces = false;  // 6.3: a tmpfs can be id-mapped; without, pods get none
  bool cgroup_kill = false;      // 5.14: cgroup.kill (only where a v2 tree is mounted)
};

// Unknown names in `off` are INVALID_ARGUMENT.
StatusOr<KernelFeatures> ProbeKernelFeatures(const std::vector<std::string>& off);

}  // namespace crisp
