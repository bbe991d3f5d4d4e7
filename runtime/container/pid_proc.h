// A procfs of a pid namespace that this process is not in.
#pragma once

#include "runtime/base/kernel_features.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// Detached and whole, for the namespace of the process `pidfd`. Invalid where the kernel cannot
// (before 6.17): then the child that joins the namespace copies that process's own /proc.
StatusOr<UniqueFd> MakePidProc(int pidfd, const KernelFeatures& features);

}  // namespace crisp::runtime
