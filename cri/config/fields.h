// The table of all settings: name, meaning, place in Config, allowed values. Reader, checker,
// printer and the nearest-name hint all walk it.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cri/config/config.h"

namespace crisp {

using FieldPlace = std::variant<std::string*, bool*, int64_t*, std::vector<std::string>*>;

// Why a text is no good; "" if it is.
using TextCheck = std::string (*)(absl::string_view);

struct Field {
  std::string name;  // "network.subnet"
  const char* help;
  FieldPlace (*place)(Config&);
  TextCheck check = nullptr;  // for strings and each element of a list; an empty string passes
  int64_t min = 0, max = 0;   // for integers
};
struct RegistryField {
  std::string name;  // "plain_http", below [registries."HOST"]
  const char* help;
  FieldPlace (*place)(RegistryConfig&);
  TextCheck check = nullptr;
};

struct HandlerField {
  std::string name;  // "runtime", below [handlers.NAME]
  const char* help;
  FieldPlace (*place)(HandlerConfig&);
  TextCheck check = nullptr;
};

const std::vector<Field>& ConfigFields();
const std::vector<HandlerField>& HandlerFields();
const std::vector<RegistryField>& RegistryFields();

// The value's own rule (range, form); "" if it holds.
std::string CheckPlace(const FieldPlace& place, TextCheck check, int64_t min, int64_t max);
// A host name with an optional port, as it stands in an image reference.
std::string CheckRegistryHost(absl::string_view text);

// The known name that `name` was probably meant to be, "" if none is near.
std::string NearestName(absl::string_view name, const std::vector<std::string>& known);

}  // namespace crisp
