#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "cri/translate/checks.h"
#include "cri/translate/container_spec.h"

namespace crisp::cri {

StatusOr<std::string> LogPathOf(const v1::PodSandboxConfig& pod,
                                const v1::ContainerConfig& config) {
  const std::string& path = config.log_path();
  if (path.empty()) return std::string();
  if (path[0] == '/')
    return InvalidField("config.log_path", path, "must be relative to the pod's log directory");
  if (absl::EndsWith(path, "/")) return InvalidField("config.log_path", path, "names no file");
  // Through CleanPath: the same limits, and no "..".
  ASSIGN_OR_RETURN(const std::string clean, CleanPath("config.log_path", "/" + path));
  if (clean == "/") return InvalidField("config.log_path", path, "names no file");
  if (pod.log_directory().empty()) return std::string();  // a bad log_path is refused all the same
  ASSIGN_OR_RETURN(const std::string directory,
                   CleanPath("config.log_directory", pod.log_directory()));
  const std::string whole = directory == "/" ? clean : directory + clean;
  if (whole.size() > kMaxPathBytes) {
    return InvalidField("config.log_path", path,
                        absl::StrCat("with log_directory longer than ", kMaxPathBytes, " bytes"));
  }
  return whole;
}

}  // namespace crisp::cri
