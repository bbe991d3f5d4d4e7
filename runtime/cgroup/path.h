// Cgroup paths: "/" + components below a hierarchy's root.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::runtime {

// See CgroupHost::NormalizeParent.
StatusOr<std::string> NormalizeCgroupParent(const std::string& parent);

// One component: what NormalizeCgroupParent allows in a path.
Status CheckCgroupName(absl::string_view field, absl::string_view name);

// "/a/b" -> "/a"; "/a" -> "/".
std::string ParentOf(const std::string& path);

// For openat on a hierarchy's root: "/a/b" -> "a/b/file"; "/" -> "file".
std::string Below(const std::string& path, absl::string_view file);

}  // namespace crisp::runtime
