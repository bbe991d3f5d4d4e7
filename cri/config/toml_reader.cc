#include "cri/config/toml_reader.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// toml++ 3.3 asserts that a table header begins like a key ("[(" does not) and lets an optimizer
// rely on it, although the lines below it handle the case as an error. Found by our fuzz target.
#undef TOML_ASSERT
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/impl/preprocessor.h>
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(expr) static_assert(true)
#include <toml++/toml.h>

#include <sstream>
#include <utility>

namespace crisp {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxSettings = 4096;

std::optional<SettingValue> ValueOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return SettingValue(text->get());
  if (const auto* flag = node.as_boolean()) return SettingValue(flag->get());
  if (const auto* number = node.as_integer()) return SettingValue(number->get());
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<std::string> list;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr) return std::nullopt;
    list.push_back(text->get());
  }
  return SettingValue(std::move(list));
}

std::string TypeOf(const toml::node& node) {
  std::ostringstream name;
  name << node.type();
  return name.str();
}

void Flatten(const std::string& file, const toml::table& table, std::vector<std::string> path,
             std::vector<Setting>* settings) {
  for (const auto& [key, node] : table) {
    path.emplace_back(key.str());
    if (const auto* inner = node.as_table()) {
      Flatten(file, *inner, path, settings);
    } else {
      settings->push_back(
          {path, absl::StrCat(file, ":", node.source().begin.line), TypeOf(node), ValueOf(node)});
    }
    path.pop_back();
  }
}

}  // namespace

StatusOr<std::vector<Setting>> ReadToml(const std::string& file, absl::string_view text) {
  if (text.size() > kMaxBytes)
    return absl::InvalidArgumentError(absl::StrCat(file, ": is larger than 1 MiB"));
  const toml::parse_result parsed = toml::parse(std::string_view(text.data(), text.size()));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", error.source().begin.line, ": ",
                     absl::string_view(error.description().data(), error.description().size())));
  }
  std::vector<Setting> settings;
  Flatten(file, parsed.table(), {}, &settings);
  if (settings.size() > kMaxSettings)
    return absl::InvalidArgumentError(absl::StrCat(file, ": has more than 4096 settings"));
  return settings;
}

}  // namespace crisp
