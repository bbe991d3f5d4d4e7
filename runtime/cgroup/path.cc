#include "runtime/cgroup/path.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace crisp::runtime {
namespace {

constexpr char kDefaultParent[] = "/crisp";
// PATH_MAX less the container's own directory and the longest file name in it.
constexpr size_t kMaxParent = 3072;

}  // namespace

Status CheckCgroupName(absl::string_view field, absl::string_view name) {
  if (name.empty()) return InvalidField(field, name, "is empty");
  if (name == "..") return InvalidField(field, name, "must not contain \"..\"");
  if (name.size() > 255) return InvalidField(field, name, "a component is longer than 255 bytes");
  for (const char c : name) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) || c == '/') {
      return InvalidField(field, name, "contains a control character or slash");
    }
  }
  return absl::OkStatus();
}

StatusOr<std::string> NormalizeCgroupParent(const std::string& parent) {
  if (parent.empty()) return std::string(kDefaultParent);
  if (parent.size() > kMaxParent) {
    return InvalidField("cgroup_parent", parent, "longer than 3072 bytes");
  }
  std::string path;
  for (absl::string_view part : absl::StrSplit(parent, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    const Status status = CheckCgroupName("cgroup_parent", part);
    if (!status.ok()) return status;
    absl::StrAppend(&path, "/", part);
  }
  return path.empty() ? "/" : path;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string Below(const std::string& path, absl::string_view file) {
  if (path == "/") return file.empty() ? "." : std::string(file);
  if (file.empty()) return path.substr(1);
  return absl::StrCat(path.substr(1), "/", file);
}

}  // namespace crisp::runtime
