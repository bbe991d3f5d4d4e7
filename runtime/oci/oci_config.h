// ContainerSpec -> config.json of the OCI runtime specification (1.0.2).
#pragma once

#include <string>

#include "runtime/base/status.h"
#include "runtime/container/container_spec.h"

namespace crisp::runtime {

struct OciInput {
  const ContainerSpec* spec = nullptr;
  const Identity* identity = nullptr;
  std::string rootfs;         // absolute
  std::string net, ipc, uts;  // of namespaces to join; "" = the host's
  std::string shm;            // directory to bind on /dev/shm; "" = the host's
  std::string files;          // directory with hosts, resolv.conf, hostname
  std::string cgroup;  // as Cgroup::path(): made and limited by us, only entered by the runtime
  bool default_seccomp = false;
};

// Pure. INVALID_ARGUMENT for what JSON cannot carry (arguments that are no UTF-8).
StatusOr<std::string> MakeOciConfig(const OciInput& input);

}  // namespace crisp::runtime
