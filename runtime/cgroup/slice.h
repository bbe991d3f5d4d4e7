// Names of systemd's units and where their cgroups stand: "kubepods-burstable-podX.slice" is
// /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice (systemd.slice(5)). Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::runtime {

// The slice that a CRI cgroup_parent names: its last component (the kubelet sends the whole path),
// "" = "crisp.slice". INVALID_ARGUMENT when that is no name of a slice.
StatusOr<std::string> SliceOfParent(const std::string& cgroup_parent);

// Path of a slice's cgroup; the name has been checked by SliceOfParent.
std::string SlicePath(absl::string_view slice);

// "crisp-<id>.scope": the form that cAdvisor and the kubelet know (PREFIX-ID.scope).
std::string ScopeName(absl::string_view id);
// The id of such a name, "" for any other.
std::string IdOfScope(absl::string_view name);

}  // namespace crisp::runtime
