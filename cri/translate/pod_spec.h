// PodSandboxConfig -> PodSpec. Pure: every refusal (INVALID_ARGUMENT naming field, value, reason)
// happens here, before anything exists.
#pragma once

#include <string>

#include "cri/api/cri.h"
#include "runtime/base/status.h"
#include "runtime/sandbox/pod_sandbox.h"

namespace crisp::cri {

struct PodDefaults {
  uint64_t shm_bytes = 64 << 20;
  std::string selinux_level;  // where the request names none
};

// `hosts` stays empty (it needs the addresses); `resolv_conf` stays empty when there is no
// dns_config (the host's is used). For the host's network the hostname is the node's.
StatusOr<runtime::PodSpec> TranslatePod(const v1::PodSandboxConfig& config, const std::string& id,
                                        const PodDefaults& defaults);

}  // namespace crisp::cri
