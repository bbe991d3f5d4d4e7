// The one place where foreign JSON is parsed: bounded in size and depth, exceptions never leave it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp {

using Json = nlohmann::json;

struct JsonLimits {
  size_t bytes = 4 << 20;
  int depth = 64;
};

// INVALID_ARGUMENT with the position for anything that is not one JSON document within the limits;
// duplicate keys are refused too.
StatusOr<Json> ParseJson(absl::string_view text, const JsonLimits& limits = {});

// Member access that never throws: a missing or wrongly typed member gives `fallback`.
std::string JsonString(const Json& object, absl::string_view key, absl::string_view fallback = "");

}  // namespace crisp
