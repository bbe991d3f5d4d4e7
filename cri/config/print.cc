#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "cri/config/config.h"
#include "cri/config/fields.h"

namespace crisp {
namespace {

std::string Quote(const std::string& text) { return absl::StrCat("\"", absl::CEscape(text), "\""); }

std::string TomlValue(const FieldPlace& place) {
  if (const auto* text = std::get_if<std::string*>(&place)) return Quote(**text);
  if (const auto* flag = std::get_if<bool*>(&place)) return **flag ? "true" : "false";
  if (const auto* number = std::get_if<int64_t*>(&place)) return absl::StrCat(**number);
  return absl::StrCat(
      "[",
      absl::StrJoin(*std::get<std::vector<std::string>*>(place), ", ",
                    [](std::string* out, const std::string& text) { *out += Quote(text); }),
      "]");
}

// Writes "[network]" where the table of `name` begins; returns the key within its table.
std::string EnterTable(const std::string& name, std::string* table, std::string* out) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return name;
  if (name.substr(0, dot) != *table) {
    *table = name.substr(0, dot);
    absl::StrAppend(out, "\n[", *table, "]\n");
  }
  return name.substr(dot + 1);
}

std::string OriginOf(const Config& config, const std::string& name) {
  const auto origin = config.origins.find(name);
  return origin == config.origins.end() ? "default" : origin->second;
}

template <typename Value, typename Fields>
std::string NamedDefaults(const Fields& fields) {
  std::string out;
  Value defaults;
  for (const auto& field : fields)
    absl::StrAppend(&out, "# ", field.help, "\n#", field.name, " = ",
                    TomlValue(field.place(defaults)), "\n");
  return out;
}

template <typename Value, typename Fields>
void DumpNamed(const std::string& table, const Fields& fields, const Config& config,
               std::map<std::string, Value>* values, std::string* out) {
  for (auto& [name, value] : *values) {
    const std::string prefix = absl::StrCat(table, ".\"", name, "\"");
    absl::StrAppend(out, "\n[", prefix, "]\n");
    for (const auto& field : fields)
      absl::StrAppend(out, field.name, " = ", TomlValue(field.place(value)), "  # ",
                      OriginOf(config, absl::StrCat(prefix, ".", field.name)), "\n");
  }
}

}  // namespace

std::string DefaultConfigText() {
  Config defaults;
  std::string out =
      "# crisp reads /etc/crisp/crisp.toml, then /etc/crisp/conf.d/*.toml in the order of their\n"
      "# names. Neither must exist: what stands here as a comment is the default.\n"
      "# Check with `crisp config check`; see what is in force with `crisp config dump`.\n\n";
  std::string table;
  for (const Field& field : ConfigFields()) {
    const std::string key = EnterTable(field.name, &table, &out);
    absl::StrAppend(&out, "# ", field.help, "\n#", key, " = ", TomlValue(field.place(defaults)),
                    "\n");
  }
  absl::StrAppend(&out,
                  "\n# One table for each further runtime handler (docs/design/handlers.md).\n"
                  "#[handlers.crun]\n",
                  NamedDefaults<HandlerConfig>(HandlerFields()),
                  "\n# One table for each registry that needs one; HOST as in the image name.\n"
                  "#[registries.\"registry.example:5000\"]\n",
                  NamedDefaults<RegistryConfig>(RegistryFields()));
  return out;
}

std::string DumpConfigText(const Config& config) {
  Config copy = config;
  std::string out, table;
  for (const Field& field : ConfigFields()) {
    const std::string key = EnterTable(field.name, &table, &out);
    absl::StrAppend(&out, key, " = ", TomlValue(field.place(copy)), "  # ",
                    OriginOf(config, field.name), "\n");
  }
  DumpNamed("handlers", HandlerFields(), config, &copy.handlers, &out);
  DumpNamed("registries", RegistryFields(), config, &copy.registries, &out);
  return out;
}

}  // namespace crisp
