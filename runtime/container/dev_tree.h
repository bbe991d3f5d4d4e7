// A container's /dev and /dev/pts as detached mounts, complete before anything of the image is near
// them. Made by the daemon, so that neither the container's device rules nor its capabilities must
// allow mknod, and none of it costs time at the start.
#pragma once

#include <vector>

#include "runtime/base/status.h"
#include "runtime/container/container_spec.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// tmpfs 0755, 64 MiB: null zero full random urandom tty, `devices`, the usual links and directories
// to mount on; with `console` also an empty /dev/console. `devices` are named below /dev; others
// are refused. `label`: SELinux label of the whole mount ("": none).
StatusOr<UniqueFd> MakeDevTree(const std::vector<DeviceNode>& devices, bool console,
                               const std::string& label = "");

// A new devpts instance: newinstance, ptmxmode=0666, mode=0620, gid=5 (`gid`: what that is to the
// host).
StatusOr<UniqueFd> MakeDevPts(uint32_t gid = 5, const std::string& label = "");

}  // namespace crisp::runtime
