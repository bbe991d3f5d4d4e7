// A good pod and a good container, for tests that change one thing each.
#pragma once

#include <string>

#include "cri/translate/container_spec.h"
#include "cri/translate/pod_spec.h"

namespace crisp::cri {

v1::PodSandboxConfig GoodPod();

struct Request {
  v1::PodSandboxConfig pod = GoodPod();
  v1::ContainerConfig config;
  image::ImageConfig image;
  std::vector<std::vector<std::string>> volume_layers;
  CdiEdits cdi;
  runtime::CgroupMode mode = runtime::CgroupMode::kHybrid;

  Request();
  StatusOr<runtime::ContainerSpec> Translate() const;
  v1::LinuxContainerSecurityContext* security() {
    return config.mutable_linux()->mutable_security_context();
  }
  v1::LinuxContainerResources* resources() { return config.mutable_linux()->mutable_resources(); }
};

// INVALID_ARGUMENT whose message holds `field`.
bool Refuses(const Status& status, const std::string& field);

}  // namespace crisp::cri
