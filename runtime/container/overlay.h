// A container's root filesystem as a detached overlay mount.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/kernel_features.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// `lower_dirs`: absolute, top layer first. With userxattr (the layers carry user.overlay.*) and
// volatile (no sync at umount; containers do not survive a crash of the host).
// `label`: SELinux label of every file in it ("": none).
StatusOr<UniqueFd> MakeOverlay(const std::vector<std::string>& lower_dirs,
                               const std::string& upper_dir, const std::string& work_dir,
                               const KernelFeatures& features, const std::string& label = "");

// mount(2)'s option for `label`, with a comma before it; "" for none.
std::string ContextOption(const std::string& label);

// The layers alone, without an upper directory. `empty_dir`: one that stays empty; also where the
// mount stands for a moment on old kernels, seen by nobody.
StatusOr<UniqueFd> MakeReadonlyOverlay(const std::vector<std::string>& lower_dirs,
                                       const std::string& empty_dir, const KernelFeatures& features,
                                       const std::string& label = "");

}  // namespace crisp::runtime
