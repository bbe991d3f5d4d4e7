// The image config: what a container starts from, and the diffIDs that its layers must have.
#include <nlohmann/json.hpp>

#include "imageservice/content/digest.h"
#include "imageservice/manifest.h"
#include "runtime/base/json.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxItems = 4096;
constexpr size_t kMaxText = 1 << 20;

#if defined(__x86_64__)
constexpr char kArchitecture[] = "amd64";
#elif defined(__aarch64__)
constexpr char kArchitecture[] = "arm64";
#endif

Status Bad(absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("image config: ", reason));
}

// NUL would silently cut a string that reaches execve.
bool IsCleanText(const std::string& text) {
  return text.size() <= kMaxText && text.find('\0') == std::string::npos;
}

StatusOr<std::vector<std::string>> TextList(const Json& object, const char* key) {
  std::vector<std::string> list;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return list;
  if (found->is_string() && IsCleanText(found->get_ref<const std::string&>())) {
    list.push_back(found->get<std::string>());  // as old Docker images have it
    return list;
  }
  if (!found->is_array() || found->size() > kMaxItems) {
    return Bad(absl::StrCat(key, " is not a list of at most 4096 strings"));
  }
  for (const Json& item : *found) {
    if (!item.is_string() || !IsCleanText(item.get_ref<const std::string&>())) {
      return Bad(absl::StrCat(key, " has an item that is no clean string"));
    }
    list.push_back(item.get<std::string>());
  }
  return list;
}

StatusOr<std::string> Text(const Json& object, const char* key) {
  std::string text = JsonString(object, key);
  if (!IsCleanText(text)) return Bad(absl::StrCat(key, " is no clean string"));
  return text;
}

Status ParseLabels(const Json& object, ImageConfig* config) {
  const auto labels = object.find("Labels");
  if (labels == object.end() || labels->is_null()) return absl::OkStatus();
  if (!labels->is_object() || labels->size() > kMaxItems) return Bad("Labels is not a small map");
  for (const auto& [key, value] : labels->items()) {
    if (!value.is_string()) return Bad("Labels has a value that is no string");
    config->labels[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

Status ParseVolumes(const Json& object, ImageConfig* config) {
  const auto volumes = object.find("Volumes");
  if (volumes == object.end() || volumes->is_null()) return absl::OkStatus();
  if (!volumes->is_object() || volumes->size() > kMaxItems)
    return Bad("Volumes is not a small map");
  for (const auto& [path, unused] : volumes->items()) {
    if (!IsCleanText(path) || path.size() > 4095) return Bad("Volumes has a malformed path");
    config->volumes.push_back(path);
  }
  return absl::OkStatus();
}

Status ParseProcess(const Json& object, ImageConfig* config) {
  ASSIGN_OR_RETURN(config->env, TextList(object, "Env"));
  ASSIGN_OR_RETURN(config->entrypoint, TextList(object, "Entrypoint"));
  ASSIGN_OR_RETURN(config->cmd, TextList(object, "Cmd"));
  ASSIGN_OR_RETURN(config->user, Text(object, "User"));
  ASSIGN_OR_RETURN(config->working_dir, Text(object, "WorkingDir"));
  ASSIGN_OR_RETURN(config->stop_signal, Text(object, "StopSignal"));
  RETURN_IF_ERROR(ParseVolumes(object, config));
  return ParseLabels(object, config);
}

}  // namespace

StatusOr<ParsedConfig> ParseImageConfig(absl::string_view text) {
  JsonLimits limits;
  limits.bytes = kMaxConfigBytes;
  auto json = ParseJson(text, limits);
  if (!json.ok()) return Annotate(json.status(), "image config");
  if (!json->is_object()) return Bad("not an object");
  ParsedConfig parsed;
  parsed.os = JsonString(*json, "os");
  parsed.architecture = JsonString(*json, "architecture");
  const auto process = json->find("config");
  if (process != json->end() && process->is_object()) {
    RETURN_IF_ERROR(ParseProcess(*process, &parsed.config));
  }
  const auto rootfs = json->find("rootfs");
  if (rootfs == json->end() || !rootfs->is_object() || JsonString(*rootfs, "type") != "layers") {
    return Bad("rootfs.type is not \"layers\"");
  }
  ASSIGN_OR_RETURN(parsed.diff_ids, TextList(*rootfs, "diff_ids"));
  for (const std::string& diff_id : parsed.diff_ids) {
    if (!IsDigest(diff_id)) {
      return InvalidField("image config: rootfs.diff_ids[]", diff_id, "not sha256:<64 hex digits>");
    }
  }
  return parsed;
}

Status CheckPlatform(const ParsedConfig& config) {
  const bool os = config.os.empty() || config.os == "linux";
  const bool machine = config.architecture.empty() || config.architecture == kArchitecture;
  if (os && machine) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("the image is for ", config.os, "/", config.architecture,
                                          ", not linux/", kArchitecture));
}

std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id : DigestOf(absl::StrCat(chain.back(), " ", diff_id)));
  }
  return chain;
}

}  // namespace crisp::image
