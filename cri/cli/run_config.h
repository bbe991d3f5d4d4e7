// `crisp run` -> the two CRI configurations. Pure.
#pragma once

#include <string>

#include "cri/cli/verb.h"

namespace crisp::cli {

// Each pod of `crisp run` logs below it, in a folder with the pod's name.
inline constexpr char kRunLogRoot[] = "/var/log/crisp";
inline constexpr char kRunNamespace[] = "default";

struct RunPlan {
  std::string name, log_directory;
  v1::PodSandboxConfig pod;
  v1::ContainerConfig container;  // its image is set after the pull
};

// A name that may be a path component and a DNS label.
bool IsRunName(absl::string_view name);
// "docker.io/library/busybox:1.36" -> "busybox".
std::string NameOfImage(absl::string_view image);

StatusOr<RunPlan> MakeRunPlan(const Invocation& call, const std::string& suffix,
                              const std::string& uid);

}  // namespace crisp::cli
