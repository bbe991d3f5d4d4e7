// The folders of CDI specifications, read anew at each request for a device: vendors write them at
// any time, and few containers ask.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cri/cdi/cdi_tree.h"
#include "runtime/base/files.h"

namespace crisp::cri {
namespace {

constexpr size_t kMaxFileBytes = 4 << 20;
constexpr size_t kMaxFiles = 512;  // of one folder
constexpr size_t kMaxNames = 256;  // of one request

struct File {
  std::string path;
  size_t folder;
  StatusOr<CdiSpec> spec;
};

StatusOr<CdiSpec> ReadSpec(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return absl::EndsWith(path, ".json") ? ParseCdiJson(text) : ParseCdiYaml(text);
}

Status AddFolder(const std::string& folder, size_t index, std::vector<File>* files) {
  const auto dir = OpenDir(folder);
  if (absl::IsNotFound(dir.status())) return absl::OkStatus();
  RETURN_IF_ERROR(Annotate(dir.status(), "read CDI folder ", folder));
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDir(dir->get()));
  std::sort(names.begin(), names.end());
  size_t count = 0;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json") && !absl::EndsWith(name, ".yaml") &&
        !absl::EndsWith(name, ".yml")) {
      continue;
    }
    if (++count > kMaxFiles) {
      return absl::ResourceExhaustedError(
          absl::StrCat("read CDI folder ", folder, ": more than ", kMaxFiles, " files"));
    }
    const std::string path = absl::StrCat(folder, "/", name);
    files->push_back({path, index, ReadSpec(path)});
  }
  return absl::OkStatus();
}

// What an operator needs to find the mistake: files that could not be used.
std::string BadFiles(const std::vector<File>& files) {
  std::string text;
  for (const File& file : files) {
    if (file.spec.ok() || text.size() > 2000) continue;
    absl::StrAppend(&text, "; ", file.path, " is not usable: ", file.spec.status().message());
  }
  return text;
}

// The spec that defines kind=device: the one of the last folder, which must be one.
StatusOr<const CdiSpec*> Find(const std::vector<File>& files, absl::string_view kind,
                              const std::string& device) {
  const File* found = nullptr;
  const File* rival = nullptr;
  for (const File& file : files) {
    if (!file.spec.ok() || file.spec->kind != kind || file.spec->devices.count(device) == 0) {
      continue;
    }
    rival = found && found->folder == file.folder ? found : nullptr;
    found = &file;
  }
  const std::string name = absl::StrCat(kind, "=", device);
  if (!found) {
    return InvalidField("CDI_devices", name, "no such device is defined" + BadFiles(files));
  }
  if (!rival) return &*found->spec;
  return InvalidField(
      "CDI_devices", name,
      absl::StrCat("is ambiguous: ", rival->path, " and ", found->path, " define it"));
}

Status CheckSupported(const std::string& name, const CdiEdits& edits) {
  if (edits.unsupported.empty()) return absl::OkStatus();
  return InvalidField("CDI_devices", name,
                      absl::StrCat("asks for ", edits.unsupported, ", which is not supported"));
}

}  // namespace

StatusOr<CdiEdits> ResolveCdi(const std::vector<std::string>& dirs,
                              const std::vector<std::string>& names) {
  if (names.size() > kMaxNames) {
    return InvalidField("CDI_devices", absl::StrCat(names.size()), "more than 256");
  }
  CdiEdits edits;
  if (names.empty()) return edits;
  std::vector<File> files;
  for (size_t i = 0; i < dirs.size(); ++i) RETURN_IF_ERROR(AddFolder(dirs[i], i, &files));
  std::vector<std::string> done;
  std::vector<const CdiSpec*> specs;
  for (const std::string& name : names) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits('=', 1));
    if (!IsCdiKind(parts.first) || !IsCdiDevice(parts.second)) {
      return InvalidField("CDI_devices", name, "is not vendor.com/class=device");
    }
    if (std::find(done.begin(), done.end(), name) != done.end()) continue;
    done.push_back(name);
    ASSIGN_OR_RETURN(const CdiSpec* spec, Find(files, parts.first, parts.second));
    const CdiEdits& own = spec->devices.at(parts.second);
    RETURN_IF_ERROR(CheckSupported(name, own));
    RETURN_IF_ERROR(CheckSupported(name, spec->common));
    if (std::find(specs.begin(), specs.end(), spec) == specs.end()) {
      specs.push_back(spec);
      edits.Append(spec->common);
    }
    edits.Append(own);
  }
  return edits;
}

}  // namespace crisp::cri
