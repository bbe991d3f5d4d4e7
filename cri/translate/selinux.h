// The SELinux labels of a pod and its containers. Where the kernel has no SELinux the options have
// no effect, as with other runtimes: the same manifests run on nodes with and without it.
#pragma once

#include <string>

#include "cri/api/cri.h"
#include "runtime/base/status.h"

namespace crisp::cri {

// The pod's request names no level, and its containers are kept apart by one.
bool NeedsSelinuxLevel(const v1::PodSandboxConfig& config);

// Of the pod's own files and /dev/shm; "": none. `level`: where the request names none.
StatusOr<std::string> PodMountLabel(const v1::PodSandboxConfig& config, const std::string& level);

}  // namespace crisp::cri
