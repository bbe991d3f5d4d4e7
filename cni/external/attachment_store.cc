#include "cni/external/attachment_store.h"

#include <unistd.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"

namespace crisp::cni {
namespace {

constexpr char kKind[] = "cniCacheV1";
constexpr char kSuffix[] = "-eth0";

// The id alone names the file: it is unique, and a network's name may be as long as a file name.
std::string FileName(const std::string& container_id) { return container_id + kSuffix; }

Json ArgsJson(const std::string& args) {
  Json pairs = Json::array();
  for (const absl::string_view pair : absl::StrSplit(args, ';', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    pairs.push_back(Json::array({parts.first, parts.second}));
  }
  return pairs;
}

std::string ArgsText(const Json& pairs) {
  std::string args;
  for (const Json& pair : pairs) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
      continue;
    absl::StrAppend(&args, args.empty() ? "" : ";", pair[0].get<std::string>(), "=",
                    pair[1].get<std::string>());
  }
  return args;
}

}  // namespace

StatusOr<AttachmentStore> AttachmentStore::Open(const std::string& dir) {
  RETURN_IF_ERROR(MakeDirs(dir, 0700));
  ASSIGN_OR_RETURN(UniqueFd fd, OpenDir(dir));
  return AttachmentStore(std::move(fd));
}

Status AttachmentStore::Put(const StoredAttachment& attachment) {
  const Json json = {{"kind", kKind},
                     {"containerId", attachment.container_id},
                     {"config", absl::Base64Escape(attachment.config.dump())},
                     {"ifName", attachment.ifname},
                     {"networkName", attachment.network},
                     {"netns", attachment.netns},
                     {"cniArgs", ArgsJson(attachment.args)},
                     {"capabilityArgs", attachment.capability_args},
                     {"result", attachment.result}};
  return Annotate(
      WriteFileAtomic(dir_.get(), FileName(attachment.container_id),
                      json.dump(-1, ' ', false, Json::error_handler_t::replace), 0600, false),
      "store network attachment of ", attachment.container_id);
}

StatusOr<StoredAttachment> AttachmentStore::Get(const std::string& container_id) const {
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(dir_.get(), FileName(container_id)));
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  StoredAttachment attachment;
  attachment.container_id = JsonString(json, "containerId");
  if (JsonString(json, "kind") != kKind || attachment.container_id != container_id)
    return absl::DataLossError(absl::StrCat("attachment of ", container_id, ": not a cache file"));
  attachment.network = JsonString(json, "networkName");
  attachment.ifname = JsonString(json, "ifName");
  attachment.netns = JsonString(json, "netns");
  attachment.args = ArgsText(json.value("cniArgs", Json::array()));
  attachment.capability_args = json.value("capabilityArgs", Json::object());
  attachment.result = json.value("result", Json());
  std::string config;
  if (!absl::Base64Unescape(JsonString(json, "config"), &config))
    return absl::DataLossError(absl::StrCat("attachment of ", container_id, ": bad config"));
  ASSIGN_OR_RETURN(attachment.config, ParseJson(config));
  return attachment;
}

Status AttachmentStore::Remove(const std::string& container_id) {
  if (unlinkat(dir_.get(), FileName(container_id).c_str(), 0) == 0 || errno == ENOENT)
    return absl::OkStatus();
  return ErrnoStatus(errno, "remove network attachment of ", container_id);
}

StatusOr<std::vector<std::string>> AttachmentStore::List() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(dir_.get()));
  std::vector<std::string> ids;
  for (absl::string_view name : names)
    if (absl::ConsumeSuffix(&name, kSuffix) && IsPluginType(name)) ids.emplace_back(name);
  return ids;
}

}  // namespace crisp::cni
