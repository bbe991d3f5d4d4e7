// A CDI specification from a tree that was JSON or YAML.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cri/cdi/cdi.h"
#include "runtime/base/json.h"

namespace crisp::cri {

StatusOr<CdiSpec> ReadCdiSpec(const Json& value);
Status ReadCdiEdits(const Json& value, CdiEdits* edits);

bool IsCdiKind(absl::string_view kind);    // vendor.com/class
bool IsCdiDevice(absl::string_view name);  // the part after "="

}  // namespace crisp::cri
