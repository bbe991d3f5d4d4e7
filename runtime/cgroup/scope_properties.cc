#include "runtime/cgroup/scope_properties.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "runtime/cgroup/limits.h"

namespace crisp::runtime {
namespace {

constexpr struct {
  const char *file, *property;
} kShared[] = {
    {"cpu.weight", "CPUWeight"}, {"memory.min", "MemoryMin"}, {"memory.low", "MemoryLow"}};

std::optional<uint64_t> NumberOf(absl::string_view text) {
  uint64_t number = 0;
  if (text == "max") return UINT64_MAX;
  if (absl::SimpleAtoi(text, &number)) return number;
  return std::nullopt;
}

}  // namespace

std::vector<UnitProperty> ScopeProperties(const CgroupLimits& limits) {
  std::vector<UnitProperty> out;
  for (const auto& [file, property] : kShared) {
    const auto raw = limits.unified.find(file);  // wins, as in the cgroup itself
    if (raw != limits.unified.end()) {
      // What is no number the kernel will refuse, in the group below.
      if (const auto number = NumberOf(raw->second)) out.push_back({property, *number});
    } else if (limits.cpu_shares && file == kShared[0].file) {
      out.push_back({property, SharesToWeight(*limits.cpu_shares)});
    }
  }
  return out;
}

StatusOr<std::vector<UnitProperty>> PropertiesInForce(
    const std::vector<UnitProperty>& asked,
    const std::function<StatusOr<std::string>(const std::string& file)>& read) {
  std::vector<UnitProperty> out;
  for (const UnitProperty& each : asked) {
    for (const auto& [file, property] : kShared) {
      if (each.name != property) continue;
      ASSIGN_OR_RETURN(const std::string text, read(file));
      const auto number = NumberOf(absl::StripAsciiWhitespace(text));
      if (!number) return absl::InternalError(absl::StrCat("read ", file, ": \"", text, "\""));
      out.push_back({property, *number});
    }
  }
  return out;
}

}  // namespace crisp::runtime
