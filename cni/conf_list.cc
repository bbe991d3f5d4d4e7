#include "cni/conf_list.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/match.h"
#include "runtime/base/files.h"

namespace crisp::cni {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 32;
constexpr size_t kMaxPlugins = 32;
constexpr size_t kMaxFiles = 256;
constexpr const char* kVersions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

bool OnlyNameCharacters(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

// libcni's rule: the name becomes part of file names.
bool IsNetworkName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 && isalnum(static_cast<unsigned char>(name[0])) &&
         OnlyNameCharacters(name);
}

size_t VersionRank(absl::string_view version) {
  const auto found = std::find(std::begin(kVersions), std::end(kVersions), version);
  return static_cast<size_t>(found - std::begin(kVersions));
}

StatusOr<std::string> VersionOf(const Json& json) {
  std::string best = JsonString(json, "cniVersion", "0.1.0");
  if (json.contains("cniVersion") && !json["cniVersion"].is_string())
    return InvalidField("cniVersion", json["cniVersion"].dump(), "not a string");
  // 1.1: of several offered versions the newest that both sides know.
  const Json offered = json.value("cniVersions", Json::array());
  if (!offered.is_array()) return InvalidField("cniVersions", offered.dump(), "not a list");
  for (const Json& version : offered) {
    if (!version.is_string()) return InvalidField("cniVersions", offered.dump(), "not strings");
    const std::string text = version.get<std::string>();
    if (IsKnownCniVersion(text) && (!IsKnownCniVersion(best) || VersionAtLeast(text, best)))
      best = text;
  }
  if (!IsKnownCniVersion(best))
    return InvalidField("cniVersion", best, "not a CNI version from 0.1.0 to 1.1.0");
  return best;
}

// Booleans that the specification writes as strings in older texts.
StatusOr<bool> Flag(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end()) return false;
  if (it->is_boolean()) return it->get<bool>();
  if (*it == "true") return true;
  if (*it == "false") return false;
  return InvalidField(key, it->dump(), "not a boolean");
}

StatusOr<ConfPlugin> ParsePlugin(const Json& json) {
  if (!json.is_object()) return InvalidField("plugins", json.dump(), "not an object");
  ConfPlugin plugin;
  plugin.config = json;
  plugin.type = JsonString(json, "type");
  if (!IsPluginType(plugin.type))
    return InvalidField("plugins.type", plugin.type, "not a plain file name");
  const Json capabilities = json.value("capabilities", Json::object());
  if (!capabilities.is_object())
    return InvalidField("plugins.capabilities", capabilities.dump(), "not an object");
  for (const auto& [name, enabled] : capabilities.items())
    if (enabled == true) plugin.capabilities.insert(name);
  return plugin;
}

StatusOr<Json> PluginsOf(const Json& json, bool single) {
  if (single) {
    if (json.contains("plugins"))
      return InvalidField("plugins", "", "a list belongs in a file named *.conflist");
    return Json::array({json});
  }
  const Json plugins = json.value("plugins", Json::array());
  if (!plugins.is_array() || plugins.empty() || plugins.size() > kMaxPlugins)
    return InvalidField("plugins", "", absl::StrCat("not a list of 1 to ", kMaxPlugins));
  return plugins;
}

bool HasSuffix(const std::string& name, absl::string_view suffix) {
  return name.size() > suffix.size() && absl::EndsWith(name, suffix);
}
bool IsList(const std::string& name) { return HasSuffix(name, ".conflist"); }
bool IsSingle(const std::string& name) {
  return HasSuffix(name, ".conf") || HasSuffix(name, ".json");
}

std::vector<std::string> ConfFiles(int dirfd) {
  std::vector<std::string> files;
  StatusOr<std::vector<std::string>> names = ListDir(dirfd);
  if (!names.ok()) return files;
  for (std::string& name : *names)
    if (IsList(name) || IsSingle(name)) files.push_back(std::move(name));
  std::sort(files.begin(), files.end());
  if (files.size() > kMaxFiles) files.resize(kMaxFiles);
  return files;
}

}  // namespace

bool IsPluginType(absl::string_view type) {
  return !type.empty() && type.size() <= 255 && type != "." && type != ".." &&
         OnlyNameCharacters(type);
}

bool IsKnownCniVersion(absl::string_view version) {
  return VersionRank(version) < std::size(kVersions);
}

bool VersionAtLeast(absl::string_view version, absl::string_view least) {
  return VersionRank(version) >= VersionRank(least);
}

StatusOr<ConfList> ParseConfList(absl::string_view text, bool single) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text, JsonLimits{kMaxBytes, kMaxDepth}));
  if (!json.is_object()) return InvalidField("configuration", "", "not a JSON object");
  ConfList list;
  list.name = JsonString(json, "name");
  if (!IsNetworkName(list.name))
    return InvalidField("name", list.name, "not a network name ([A-Za-z0-9][A-Za-z0-9._-]*)");
  ASSIGN_OR_RETURN(list.version, VersionOf(json));
  ASSIGN_OR_RETURN(list.disable_check, Flag(json, "disableCheck"));
  ASSIGN_OR_RETURN(list.disable_gc, Flag(json, "disableGC"));
  ASSIGN_OR_RETURN(const Json plugins, PluginsOf(json, single));
  for (const Json& plugin : plugins) {
    ASSIGN_OR_RETURN(ConfPlugin parsed, ParsePlugin(plugin));
    list.plugins.push_back(std::move(parsed));
  }
  list.json =
      single ? Json{{"cniVersion", list.version}, {"name", list.name}, {"plugins", plugins}} : json;
  return list;
}

ConfSource::ConfSource(std::vector<std::string> dirs, std::function<Status(const ConfList&)> usable)
    : dirs_(std::move(dirs)), usable_(std::move(usable)) {}

std::string ConfSource::Signature() const {
  std::string signature = "?";
  for (const std::string& dir : dirs_) {
    const StatusOr<UniqueFd> fd = OpenDir(dir);
    if (!fd.ok()) {
      signature += "-";
      continue;
    }
    for (const std::string& name : ConfFiles(fd->get())) {
      struct stat info {};
      if (fstatat(fd->get(), name.c_str(), &info, 0) != 0) continue;
      absl::StrAppend(&signature, "/", name, ":", info.st_ino, ":", info.st_size, ":",
                      info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, ":", info.st_ctim.tv_sec, ".",
                      info.st_ctim.tv_nsec);
    }
  }
  return signature;
}

void ConfSource::Load() {
  loaded_.list = nullptr;
  loaded_.problem.clear();
  const auto pass_over = [&](const std::string& file, const Status& status) {
    if (loaded_.problem.size() > 4096) return;
    absl::StrAppend(&loaded_.problem, loaded_.problem.empty() ? "" : "; ", file, ": ",
                    status.message());
  };
  for (const std::string& dir : dirs_) {
    const StatusOr<UniqueFd> fd = OpenDir(dir);
    if (!fd.ok()) continue;
    for (const std::string& name : ConfFiles(fd->get())) {
      const std::string file = absl::StrCat(dir, "/", name);
      const StatusOr<std::string> text = ReadFileAt(fd->get(), name, kMaxBytes);
      StatusOr<ConfList> list = text.ok() ? ParseConfList(*text, IsSingle(name)) : text.status();
      const Status status = list.ok() ? usable_(*list) : list.status();
      if (!status.ok()) {
        pass_over(file, status);
        continue;
      }
      list->file = file;
      loaded_.list = std::make_shared<const ConfList>(std::move(*list));
      return;
    }
  }
}

ConfSource::Loaded ConfSource::Current() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::string signature = Signature();
  // A list that was refused can become usable without a change of its file: its plugins arrive.
  if (signature == signature_ && loaded_.problem.empty()) return loaded_;
  if (signature != signature_) ++loaded_.generation;
  const bool had_list = loaded_.list != nullptr;
  Load();
  if (!had_list && loaded_.list) ++loaded_.generation;
  signature_ = signature;
  return loaded_;
}

}  // namespace crisp::cni
