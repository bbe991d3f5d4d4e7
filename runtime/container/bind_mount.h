// Detached copies of host trees for a container.
#pragma once

#include "runtime/base/status.h"
#include "runtime/container/container_spec.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// The host path (a symlink is followed; what is missing is made as a directory, 0755) with all its
// submounts, attributes and propagation already set. kSlave and kShared ask that the host's mount
// is shared (kSlave: or a slave): else nothing would propagate, which is refused. On /proc only a
// procfs may stand. `user_namespace`: of bind.id_map, -1 without one.
StatusOr<UniqueFd> MakeBind(const BindMount& bind, int user_namespace = -1);

// A copy of `name` below the mount `dir` ("" = the mount itself), without submounts.
StatusOr<UniqueFd> CloneMount(int dir, const char* name, bool readonly);

StatusOr<bool> IsDirectory(int fd);

}  // namespace crisp::runtime
