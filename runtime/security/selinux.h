// SELinux by the kernel's own files (selinuxfs, attributes of a process), without libselinux: is it
// on, which labels does the policy know, which are a container's. docs/design/security.md.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::runtime {

struct SelinuxLabel {
  std::string user, role, type, level;  // level "": a policy without levels

  std::string Text() const;
};

// What a container's processes and files get where nobody says otherwise.
struct SelinuxDefaults {
  SelinuxLabel process, file;
};

// The kernel has SELinux with a policy, and selinuxfs is mounted. Looked at once.
bool SelinuxEnabled();
bool SelinuxHasLevels();
// "disabled", "permissive" or "enforcing", as of now.
std::string SelinuxMode();

// INVALID_ARGUMENT if the loaded policy does not know the label.
Status CheckSelinuxLabel(const std::string& label);

// Of the installed policy (contexts/lxc_contexts), else those of container-selinux. Read once.
const SelinuxDefaults& DefaultSelinuxLabels();
// The text of an lxc_contexts: `process = "user:role:type:level"`, `file = ...`, `#` comments. What
// is missing or malformed leaves the default as it is.
void ReadLxcContexts(absl::string_view text, SelinuxDefaults* defaults);

}  // namespace crisp::runtime
