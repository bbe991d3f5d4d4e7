// The one unit that knows toml++ (4.5 CPU-s to compile): a TOML text becomes a flat list.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/base/status.h"

namespace crisp {

using SettingValue = std::variant<std::string, bool, int64_t, std::vector<std::string>>;

struct Setting {
  std::vector<std::string> path;  // {"network", "subnet"}
  std::string where;              // "FILE:LINE"
  std::string type;               // as TOML calls it, for messages
  std::optional<SettingValue>
      value;  // empty: a type that no setting has (float, date, mixed array)
};

// Errors are "FILE:LINE: what the parser says". At most 1 MiB, 4096 settings.
StatusOr<std::vector<Setting>> ReadToml(const std::string& file, absl::string_view text);

}  // namespace crisp
