// Where in a container a mount may stand.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::runtime {

// /proc, /sys and what lies below: the kernel's own trees.
bool IsKernelTree(absl::string_view target);

// `target`: absolute and cleaned. Refused are the root and, below /proc, what could stand in for a
// process's own entries (labels, ids: CVE-2019-16884) and, unless privileged, everything but the
// figures that lxcfs emulates. Below /sys all is possible: masks and read-only paths are laid over
// it afterwards.
Status CheckMountTarget(const std::string& target, bool privileged);

}  // namespace crisp::runtime
