// Identifiers: 64 lower-case hex digits, 256 random bits (the field's custom; agents match
// [a-z0-9]{64}).
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

std::string RandomHex(size_t digits);
inline std::string NewId() { return RandomHex(64); }
bool IsId(absl::string_view text);

}  // namespace crisp
