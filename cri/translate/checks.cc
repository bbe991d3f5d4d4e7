#include "cri/translate/checks.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace crisp::cri {

Status CheckName(const std::string& field, const std::string& value, bool may_be_empty) {
  if (value.empty() && !may_be_empty) return InvalidField(field, value, "must not be empty");
  if (value.size() > kMaxNameBytes) {
    return InvalidField(field, value, absl::StrCat("longer than ", kMaxNameBytes, " bytes"));
  }
  if (value.find('\0') != std::string::npos || value.find('/') != std::string::npos) {
    return InvalidField(field, value, "must hold neither NUL nor \"/\"");
  }
  return absl::OkStatus();
}

Status CheckAbsolutePath(const std::string& field, const std::string& value) {
  if (value.empty() || value[0] != '/')
    return InvalidField(field, value, "must be an absolute path");
  if (value.find('\0') != std::string::npos) return InvalidField(field, value, "must not hold NUL");
  if (value.size() > kMaxPathBytes) {
    return InvalidField(field, value, absl::StrCat("longer than ", kMaxPathBytes, " bytes"));
  }
  for (const absl::string_view part : absl::StrSplit(value, '/')) {
    if (part.size() > kMaxComponentBytes) {
      return InvalidField(
          field, value, absl::StrCat("a component is longer than ", kMaxComponentBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

StatusOr<std::string> CleanPath(const std::string& field, const std::string& value) {
  RETURN_IF_ERROR(CheckAbsolutePath(field, value));
  std::string clean;
  for (const absl::string_view part : absl::StrSplit(value, '/', absl::SkipEmpty())) {
    if (part == "..") return InvalidField(field, value, "must not hold \"..\"");
    if (part != ".") absl::StrAppend(&clean, "/", part);
  }
  return clean.empty() ? "/" : clean;
}

Status CheckMeta(const google::protobuf::Map<std::string, std::string>& labels,
                 const google::protobuf::Map<std::string, std::string>& annotations) {
  size_t bytes = 0;
  for (const auto* map : {&labels, &annotations}) {
    for (const auto& [key, value] : *map) bytes += key.size() + value.size();
  }
  if (bytes > kMaxMetaBytes) {
    return InvalidField("labels and annotations", absl::StrCat(bytes, " bytes"),
                        absl::StrCat("more than ", kMaxMetaBytes, " bytes"));
  }
  return absl::OkStatus();
}

Status CheckRange(const std::string& field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(value), absl::StrCat("must be ", min, " to ", max));
}

bool IsBelow(const std::string& path, const std::string& top) {
  return path == top || absl::StartsWith(path, top == "/" ? top : top + "/");
}

}  // namespace crisp::cri
