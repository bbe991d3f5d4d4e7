#include "runtime/base/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace crisp {
namespace {

// Looks for what nlohmann accepts silently: nesting deeper than we walk, and keys given twice.
class Watch {
 public:
  explicit Watch(int max_depth) : max_depth_(max_depth) {}

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    if (depth > max_depth_) problem = "nested too deep";
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end && !keys_.empty()) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.empty()) {
      if (!keys_.back().insert(value.get<std::string>()).second) problem = "duplicate key";
    }
    return problem.empty();
  }

  std::string problem;

 private:
  int max_depth_;
  std::vector<std::set<std::string>> keys_;
};

// The parser recurses nowhere, but its callers do: count brackets before building anything.
bool TooDeep(absl::string_view text, int limit) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    }
    if (c == '}' || c == ']') --depth;
  }
  return false;
}

}  // namespace

StatusOr<Json> ParseJson(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON: ", text.size(), " bytes, limit ", limits.bytes));
  }
  if (TooDeep(text, limits.depth)) {
    return absl::InvalidArgumentError(absl::StrCat("JSON: nested deeper than ", limits.depth));
  }
  Watch watch(limits.depth);
  try {
    Json value = Json::parse(text, std::ref(watch));
    if (!watch.problem.empty())
      return absl::InvalidArgumentError(absl::StrCat("JSON: ", watch.problem));
    return value;
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("JSON: ", error.what()));
  }
}

std::string JsonString(const Json& object, absl::string_view key, absl::string_view fallback) {
  if (!object.is_object()) return std::string(fallback);
  const auto it = object.find(std::string(key));
  if (it == object.end() || !it->is_string()) return std::string(fallback);
  return it->get<std::string>();
}

}  // namespace crisp
