// Settings of a file -> Config, by the table of fields.
#include "absl/strings/str_join.h"
#include "cri/config/checks.h"
#include "cri/config/config.h"
#include "cri/config/fields.h"
#include "cri/config/toml_reader.h"

namespace crisp {
namespace {

Status Refuse(const Setting& setting, absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(setting.where, ": ", name, ": ", why));
}

Status Unknown(const Setting& setting, absl::string_view name,
               const std::vector<std::string>& known) {
  const std::string near = NearestName(name, known);
  return Refuse(
      setting, name,
      near.empty() ? "unknown setting" : absl::StrCat("unknown setting, did you mean ", near, "?"));
}

const char* TypeName(const FieldPlace& place) {
  constexpr const char* kNames[] = {"a string", "a boolean", "an integer", "an array of strings"};
  return kNames[place.index()];
}

Status Assign(const Setting& setting, absl::string_view name, const FieldPlace& place) {
  const bool fits = setting.value && setting.value->index() == place.index();
  if (!fits)
    return Refuse(setting, name,
                  absl::StrCat("wants ", TypeName(place), ", not this ", setting.type));
  std::visit(
      [&](auto* target) {
        *target = std::get<std::remove_pointer_t<decltype(target)>>(*setting.value);
      },
      place);
  return absl::OkStatus();
}

template <typename Fields>
std::vector<std::string> Names(const Fields& fields, absl::string_view prefix) {
  std::vector<std::string> names;
  for (const auto& field : fields) names.push_back(absl::StrCat(prefix, field.name));
  return names;
}

// A table per name: [registries."HOST"], [handlers.NAME].
template <typename Value, typename Fields>
Status ApplyNamed(const Setting& setting, const std::string& table, std::string why,
                  const Fields& fields, std::map<std::string, Value>* values, Config* config) {
  const std::string& name = setting.path[1];
  const std::string quoted = absl::StrCat(table, ".\"", name, "\"");
  if (!why.empty()) return Refuse(setting, quoted, why);
  const std::string prefix = quoted + ".";
  for (const auto& field : fields) {
    if (field.name != setting.path[2]) continue;
    const FieldPlace place = field.place((*values)[name]);
    RETURN_IF_ERROR(Assign(setting, prefix + field.name, place));
    why = CheckPlace(place, field.check, 0, 0);
    if (!why.empty()) return Refuse(setting, prefix + field.name, why);
    config->origins[prefix + field.name] = setting.where;
    return absl::OkStatus();
  }
  return Unknown(setting, prefix + setting.path[2], Names(fields, prefix));
}

Status Apply(const Setting& setting, Config* config) {
  if (setting.path.size() == 3 && setting.path[0] == "registries")
    return ApplyNamed(setting, "registries", CheckRegistryHost(setting.path[1]), RegistryFields(),
                      &config->registries, config);
  if (setting.path.size() == 3 && setting.path[0] == "handlers")
    return ApplyNamed(setting, "handlers", CheckHandlerName(setting.path[1]), HandlerFields(),
                      &config->handlers, config);
  const std::string name = absl::StrJoin(setting.path, ".");
  for (const Field& field : ConfigFields()) {
    if (field.name != name) continue;
    const FieldPlace place = field.place(*config);
    RETURN_IF_ERROR(Assign(setting, name, place));
    const std::string why = CheckPlace(place, field.check, field.min, field.max);
    if (!why.empty()) return Refuse(setting, name, why);
    config->origins[name] = setting.where;
    return absl::OkStatus();
  }
  return Unknown(setting, name, Names(ConfigFields(), ""));
}

}  // namespace

Status ApplyToml(const std::string& file, absl::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const std::vector<Setting> settings, ReadToml(file, text));
  for (const Setting& setting : settings) RETURN_IF_ERROR(Apply(setting, config));
  return absl::OkStatus();
}

}  // namespace crisp
