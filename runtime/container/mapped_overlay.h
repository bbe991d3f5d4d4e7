// A container's root, or an image as a volume, for a user namespace: the image's layers are
// id-mapped, so that one copy on disk serves every pod.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/kernel_features.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// As MakeOverlay, with upper and work directory in `dir`. What is written is stored with the host's
// ids: a setuid program that a container makes is no root's on the host.
StatusOr<UniqueFd> MakeMappedOverlay(const std::vector<std::string>& lower_dirs,
                                     const std::string& dir, int user_namespace,
                                     const KernelFeatures& features, const std::string& label = "");

// As MakeReadonlyOverlay.
StatusOr<UniqueFd> MakeMappedReadonlyOverlay(const std::vector<std::string>& lower_dirs,
                                             const std::string& empty_dir, int user_namespace,
                                             const KernelFeatures& features,
                                             const std::string& label);

}  // namespace crisp::runtime
