// The v2 device controller: a BPF program on the directory. Source: kernel
// Documentation/bpf/prog_cgroup_... and include/uapi/linux/bpf.h (bpf_cgroup_dev_ctx).
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "runtime/base/status.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// First match allows, everything else is denied. Pure.
std::vector<bpf_insn> BuildDeviceProgram(const std::vector<DeviceRule>& allow);

// Loads and attaches it to the directory `dir`, then detaches the programs that were there: at no
// moment is more allowed than by the old or the new one. The attachment holds the program.
Status AttachDeviceProgram(int dir, const std::vector<DeviceRule>& allow);

}  // namespace crisp::runtime
