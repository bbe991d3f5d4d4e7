#include "runtime/cgroup/slice.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/base/id.h"

namespace crisp::runtime {
namespace {

constexpr char kDefault[] = "crisp.slice";
constexpr absl::string_view kSuffix = ".slice";
constexpr absl::string_view kPrefix = "crisp-", kScope = ".scope";
constexpr size_t kMaxUnitName = 255;  // of systemd, with the suffix

// What systemd takes as part of a unit's name (systemd.unit(5)).
bool IsUnitCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
         c == '-' || c == '_' || c == '.' || c == '\\' || c == '@';
}

// No dash at either end nor two in a row: each part between dashes is a level of the tree.
bool IsSliceStem(absl::string_view stem) {
  if (stem.empty() || stem.front() == '-' || stem.back() == '-') return false;
  if (absl::StrContains(stem, "--")) return false;
  for (const char c : stem) {
    if (!IsUnitCharacter(c)) return false;
  }
  return true;
}

}  // namespace

StatusOr<std::string> SliceOfParent(const std::string& cgroup_parent) {
  if (cgroup_parent.empty()) return std::string(kDefault);
  absl::string_view name = absl::StripSuffix(cgroup_parent, "/");
  name = name.substr(name.rfind('/') + 1);  // npos + 1 is 0
  absl::string_view stem = name;
  const bool slice = absl::ConsumeSuffix(&stem, kSuffix) && name.size() <= kMaxUnitName;
  if (slice && (stem == "-" || IsSliceStem(stem))) return std::string(name);
  return InvalidField("cgroup_parent", cgroup_parent,
                      "does not end in the name of a slice (the cgroup driver is systemd)");
}

std::string SlicePath(absl::string_view slice) {
  const absl::string_view stem = absl::StripSuffix(slice, kSuffix);
  if (stem == "-") return "/";
  std::string path;
  for (size_t dash = stem.find('-'); dash != absl::string_view::npos;
       dash = stem.find('-', dash + 1)) {
    absl::StrAppend(&path, "/", stem.substr(0, dash), kSuffix);
  }
  return absl::StrCat(path, "/", slice);
}

std::string ScopeName(absl::string_view id) { return absl::StrCat(kPrefix, id, kScope); }

std::string IdOfScope(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kPrefix) || !absl::ConsumeSuffix(&name, kScope)) return "";
  return IsId(std::string(name)) ? std::string(name) : "";
}

}  // namespace crisp::runtime
