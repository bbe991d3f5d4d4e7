// Container Device Interface: what vendors write into /etc/cdi and /var/run/cdi about their
// devices, and what a container that asks for one gets. Source: CNCF CDI specification 1.1.0.
// docs/design/cdi.md says what is not offered.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::cri {

struct CdiNode {
  std::string path, host_path;  // host_path "": the same
  char type = 0;                // 'c', 'b'; 0: as on the host
  std::optional<int64_t> major, minor;
  std::optional<uint32_t> mode, uid, gid;
  std::string permissions = "rwm";
};

struct CdiMount {
  std::string host_path, container_path;
  std::vector<std::string> options;
};

struct CdiEdits {
  std::vector<std::string> env;  // NAME=value
  std::vector<CdiNode> nodes;
  std::vector<CdiMount> mounts;
  std::vector<uint32_t> gids;
  std::string unsupported;  // the first edit that crisp does not make; "": none
  void Append(const CdiEdits& other);
};

struct CdiSpec {
  std::string kind;  // vendor.com/class
  CdiEdits common;   // for every container with at least one of the devices
  std::map<std::string, CdiEdits> devices;
};

// One file of at most 4 MiB. Strict: an unknown or wrongly typed member refuses the file.
// INVALID_ARGUMENT says which one.
StatusOr<CdiSpec> ParseCdiJson(absl::string_view text);
StatusOr<CdiSpec> ParseCdiYaml(absl::string_view text);

// The edits of the named devices ("vendor.com/class=name"), each once, from the *.json, *.yaml and
// *.yml of `dirs`; a later folder beats an earlier one. INVALID_ARGUMENT for a name that is none,
// is not defined, or is defined twice in one folder, and for what is unsupported.
StatusOr<CdiEdits> ResolveCdi(const std::vector<std::string>& dirs,
                              const std::vector<std::string>& names);

// CDI's own JSON ("containerEdits"), for the journal: a restart must not read the folders again.
std::string CdiEditsToJson(const CdiEdits& edits);
StatusOr<CdiEdits> CdiEditsFromJson(absl::string_view text);

}  // namespace crisp::cri
