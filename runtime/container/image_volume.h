// An image as a volume.
#pragma once

#include "runtime/base/kernel_features.h"
#include "runtime/base/status.h"
#include "runtime/container/container_spec.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// What the kubelet recognises in an error.
inline constexpr char kImageVolumeError[] = "ImageVolumeMountFailed: ";

// The tree of `mount.image_layers` from `image_sub_path` on, detached: read-only, nosuid, nodev and
// noexec, as Kubernetes describes image volumes. Links on the way to the sub path stay inside the
// image. `empty_dir` stands in as a second layer, without which overlay takes none.
// `user_namespace`: -1, or what the owners of the files are mapped by.
StatusOr<UniqueFd> MakeImageVolume(const BindMount& mount, const std::string& empty_dir,
                                   int user_namespace, const KernelFeatures& features,
                                   const std::string& label = "");

}  // namespace crisp::runtime
