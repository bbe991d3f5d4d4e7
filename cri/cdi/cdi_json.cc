// Edits to CDI's own JSON and back.
#include <nlohmann/json.hpp>

#include "cri/cdi/cdi_tree.h"
#include "runtime/base/json.h"

namespace crisp::cri {
namespace {

Json NodeJson(const CdiNode& node) {
  Json json = {{"path", node.path}, {"permissions", node.permissions}};
  if (!node.host_path.empty()) json["hostPath"] = node.host_path;
  if (node.type != 0) json["type"] = std::string(1, node.type);
  if (node.major) json["major"] = *node.major;
  if (node.minor) json["minor"] = *node.minor;
  if (node.mode) json["fileMode"] = *node.mode;
  if (node.uid) json["uid"] = *node.uid;
  if (node.gid) json["gid"] = *node.gid;
  return json;
}

}  // namespace

void CdiEdits::Append(const CdiEdits& other) {
  env.insert(env.end(), other.env.begin(), other.env.end());
  nodes.insert(nodes.end(), other.nodes.begin(), other.nodes.end());
  mounts.insert(mounts.end(), other.mounts.begin(), other.mounts.end());
  gids.insert(gids.end(), other.gids.begin(), other.gids.end());
  if (unsupported.empty()) unsupported = other.unsupported;
}

std::string CdiEditsToJson(const CdiEdits& edits) {
  Json json = {{"env", edits.env}, {"additionalGIDs", edits.gids}};
  for (const CdiNode& node : edits.nodes) json["deviceNodes"].push_back(NodeJson(node));
  for (const CdiMount& mount : edits.mounts) {
    json["mounts"].push_back({{"hostPath", mount.host_path},
                              {"containerPath", mount.container_path},
                              {"options", mount.options}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<CdiEdits> CdiEditsFromJson(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json value, ParseJson(text, {4 << 20, 16}));
  CdiEdits edits;
  RETURN_IF_ERROR(ReadCdiEdits(value, &edits));
  return edits;
}

}  // namespace crisp::cri
