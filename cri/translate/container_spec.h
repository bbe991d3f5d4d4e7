// ContainerConfig, its pod's config and its image's config -> ContainerSpec. Pure, like pod_spec.h.
#pragma once

#include <string>
#include <vector>

#include "cri/api/cri.h"
#include "cri/cdi/cdi.h"
#include "imageservice/image_service.h"
#include "runtime/base/status.h"
#include "runtime/container/container_spec.h"

namespace crisp::cri {

struct TranslateInput {
  std::string id, sandbox_id;
  const v1::ContainerConfig* config = nullptr;
  const v1::PodSandboxConfig* pod = nullptr;
  image::ImageConfig image;
  std::vector<std::string> lower_dirs;
  std::vector<std::vector<std::string>> volume_layers;  // of the image mounts, in their order
  CdiEdits cdi;
  // Of a recovered container: the text of its own seccomp profile, whose file may be gone by now.
  std::string seccomp_source;
  bool recovered = false;  // it was made before: what only has to be there at that time may be gone
  std::string selinux_level;  // the pod's own, where its request names none
  runtime::CgroupMode cgroup_mode = runtime::CgroupMode::kHybrid;
  const v1::LinuxContainerResources* resources = nullptr;  // in force; null: the config's
};

// Whether it mounts an image instead of a host path.
bool IsImageMount(const v1::Mount& mount);

StatusOr<runtime::ContainerSpec> TranslateContainer(const TranslateInput& input);

// Before anything is looked up: metadata present and within its limits, image named.
Status ValidateContainerMetadata(const v1::ContainerConfig& config);

// log_directory + "/" + log_path, "" if either is empty; "..", absolute log paths, NUL and
// over-long parts are refused.
StatusOr<std::string> LogPathOf(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& config);

// The signal that stops the container: CRI's stop_signal, else the image's, else SIGTERM. Names
// with or without "SIG", numbers 1..64, "RTMIN+n"; anything else is refused.
StatusOr<int> StopSignalOf(const v1::ContainerConfig& config, const image::ImageConfig& image);

}  // namespace crisp::cri
