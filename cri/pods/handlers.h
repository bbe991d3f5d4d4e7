// The runtime handlers that a RunPodSandbox may name: our own, our own with other defaults, or an
// external OCI runtime. docs/design/handlers.md
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cri/api/cri.h"
#include "cri/config/config.h"
#include "runtime/oci/oci_runtime.h"

namespace crisp::cri {

struct Handler {
  std::vector<runtime::Rlimit> rlimits;            // instead of ours
  bool default_seccomp = false;                    // where a request names no profile
  std::unique_ptr<const runtime::OciRuntime> oci;  // null: built in
};

class Handlers {
 public:
  // The built-in ones alone, "" and "crisp".
  Handlers();
  // And those of the configuration. INVALID_ARGUMENT naming the setting, FAILED_PRECONDITION where
  // an external program is missing.
  static StatusOr<Handlers> Make(const std::map<std::string, HandlerConfig>& configured,
                                 const std::string& oci_dir);

  // INVALID_ARGUMENT naming the handler and those that there are.
  StatusOr<const Handler*> Find(const std::string& name) const;
  std::vector<std::string> Names() const;

 private:
  std::map<std::string, std::unique_ptr<const Handler>> handlers_;
};

// The handler's defaults on top of what the request says; what an external runtime cannot be asked
// for is refused.
Status ApplyHandler(const Handler& handler, const v1::ContainerConfig& config,
                    runtime::ContainerSpec* spec);

// "nofile=1024:524288" (or one number for both; "unlimited").
StatusOr<runtime::Rlimit> ParseRlimit(const std::string& text);

}  // namespace crisp::cri
