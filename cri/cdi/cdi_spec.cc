// One CDI specification, from its JSON tree.
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "cri/cdi/cdi_tree.h"
#include "runtime/base/json.h"

namespace crisp::cri {
namespace {

constexpr size_t kMaxItems = 4096;  // of any one list
constexpr size_t kMaxText = 4096;

Status Wrong(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

// Calls the reader of each member; a member without one is unknown.
using Reader = std::function<Status(const Json&)>;
Status ReadObject(const Json& object, const std::string& where,
                  const std::map<std::string, Reader>& readers) {
  if (!object.is_object()) return Wrong(where, "must be an object");
  for (const auto& [name, value] : object.items()) {
    const auto reader = readers.find(name);
    if (reader == readers.end()) return Wrong(where, absl::StrCat("unknown member \"", name, "\""));
    RETURN_IF_ERROR(Annotate(reader->second(value), where, ".", name));
  }
  return absl::OkStatus();
}

Status ReadText(const Json& value, std::string* out) {
  if (!value.is_string()) return absl::InvalidArgumentError("must be a string");
  *out = value.get<std::string>();
  if (out->size() > kMaxText) return absl::InvalidArgumentError("longer than 4096 bytes");
  if (out->find('\0') != std::string::npos) return absl::InvalidArgumentError("holds NUL");
  return absl::OkStatus();
}

Status ReadNumber(const Json& value, int64_t min, int64_t max, int64_t* out) {
  if (!value.is_number_integer()) return absl::InvalidArgumentError("must be a whole number");
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return absl::InvalidArgumentError("is too large");
  }
  *out = value.get<int64_t>();
  if (*out < min || *out > max) {
    return absl::InvalidArgumentError(absl::StrCat("must be ", min, " to ", max));
  }
  return absl::OkStatus();
}

Status ReadList(const Json& value, const std::function<Status(const Json&)>& each) {
  if (!value.is_array()) return absl::InvalidArgumentError("must be an array");
  if (value.size() > kMaxItems) return absl::InvalidArgumentError("has more than 4096 items");
  for (size_t i = 0; i < value.size(); ++i) RETURN_IF_ERROR(Annotate(each(value[i]), "[", i, "]"));
  return absl::OkStatus();
}

Status Ignore(const Json&) { return absl::OkStatus(); }

Reader Text(std::string* out) {
  return [out](const Json& value) { return ReadText(value, out); };
}
template <typename T>
Reader Number(int64_t min, int64_t max, std::optional<T>* out) {
  return [=](const Json& value) -> Status {
    int64_t number = 0;
    RETURN_IF_ERROR(ReadNumber(value, min, max, &number));
    *out = static_cast<T>(number);
    return absl::OkStatus();
  };
}

Status ReadNode(const Json& value, CdiNode* node) {
  std::string type;
  RETURN_IF_ERROR(ReadObject(value, "deviceNode",
                             {{"path", Text(&node->path)},
                              {"hostPath", Text(&node->host_path)},
                              {"type", Text(&type)},
                              {"major", Number(0, (1 << 12) - 1, &node->major)},
                              {"minor", Number(0, (1 << 20) - 1, &node->minor)},
                              {"fileMode", Number(0, 0xffff, &node->mode)},
                              {"permissions", Text(&node->permissions)},
                              {"uid", Number(0, UINT32_MAX - 1, &node->uid)},
                              {"gid", Number(0, UINT32_MAX - 1, &node->gid)}}));
  if (node->path.empty()) return Wrong("path", "must be set");
  if (!type.empty() && type != "c" && type != "u" && type != "b") {
    return Wrong("type", absl::StrCat("\"", type, "\" is neither b, c nor u"));
  }
  if (!type.empty()) node->type = type == "b" ? 'b' : 'c';  // u: an unbuffered character device
  if (node->permissions.empty()) node->permissions = "rwm";
  return absl::OkStatus();
}

Status ReadMount(const Json& value, CdiMount* mount, std::string* unsupported) {
  std::string type;
  const Reader options = [mount](const Json& list) {
    return ReadList(list, [mount](const Json& option) {
      return ReadText(option, &mount->options.emplace_back());
    });
  };
  RETURN_IF_ERROR(ReadObject(value, "mount",
                             {{"hostPath", Text(&mount->host_path)},
                              {"containerPath", Text(&mount->container_path)},
                              {"type", Text(&type)},
                              {"options", options}}));
  if (mount->host_path.empty() || mount->container_path.empty()) {
    return Wrong("mount", "needs hostPath and containerPath");
  }
  if (!type.empty() && type != "bind" && type != "none" && unsupported->empty()) {
    *unsupported = absl::StrCat("a mount of type ", type);
  }
  return absl::OkStatus();
}

Status ReadVariable(const Json& value, std::string* out) {
  RETURN_IF_ERROR(ReadText(value, out));
  const size_t equals = out->find('=');
  if (equals != 0 && equals != std::string::npos) return absl::OkStatus();
  return Wrong(*out, "is not NAME=value");
}

Reader Unsupported(const std::string& name, std::string* out) {
  return [=](const Json& value) -> Status {
    if (!value.empty() && out->empty()) *out = name;
    return absl::OkStatus();
  };
}

std::string FirstHook(const Json& hooks) {
  if (!hooks.is_array() || hooks.empty()) return "a hook";
  return absl::StrCat("the hook ", JsonString(hooks[0], "hookName"), " ",
                      JsonString(hooks[0], "path"));
}

bool IsName(absl::string_view text, absl::string_view inner) {
  if (text.empty() || text.size() > 253 || !absl::ascii_isalnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(c) || inner.find(c) != absl::string_view::npos;
  });
}

Status ReadDevice(const Json& value, CdiSpec* spec) {
  std::string name;
  CdiEdits edits;
  bool edited = false;
  RETURN_IF_ERROR(ReadObject(
      value, "device",
      {{"name", Text(&name)}, {"annotations", Ignore}, {"containerEdits", [&](const Json& part) {
                                                          edited = true;
                                                          return ReadCdiEdits(part, &edits);
                                                        }}}));
  if (!IsCdiDevice(name)) return Wrong("name", absl::StrCat("\"", name, "\" is no device name"));
  if (!edited) return Wrong(name, "has no containerEdits");
  if (spec->devices.emplace(name, std::move(edits)).second) return absl::OkStatus();
  return Wrong(name, "is defined twice");
}

bool IsVersion(absl::string_view version) {
  static const char* const kVersions[] = {"0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0",
                                          "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
  return std::find(std::begin(kVersions), std::end(kVersions), version) != std::end(kVersions);
}

}  // namespace

bool IsCdiKind(absl::string_view kind) {
  const std::vector<absl::string_view> parts = absl::StrSplit(kind, '/');
  return parts.size() == 2 && IsName(parts[0], "_-.") && IsName(parts[1], "_-") &&
         absl::ascii_isalpha(parts[0][0]) && absl::ascii_isalpha(parts[1][0]);
}

bool IsCdiDevice(absl::string_view name) {
  return IsName(name, "_-.:") && absl::ascii_isalnum(name[0]);
}

Status ReadCdiEdits(const Json& value, CdiEdits* edits) {
  const Reader env = [edits](const Json& list) {
    return ReadList(
        list, [edits](const Json& item) { return ReadVariable(item, &edits->env.emplace_back()); });
  };
  const Reader nodes = [edits](const Json& list) {
    return ReadList(
        list, [edits](const Json& item) { return ReadNode(item, &edits->nodes.emplace_back()); });
  };
  const Reader mounts = [edits](const Json& list) {
    return ReadList(list, [edits](const Json& item) {
      return ReadMount(item, &edits->mounts.emplace_back(), &edits->unsupported);
    });
  };
  const Reader gids = [edits](const Json& list) {
    return ReadList(list, [edits](const Json& item) -> Status {
      int64_t gid = 0;
      RETURN_IF_ERROR(ReadNumber(item, 0, UINT32_MAX - 1, &gid));
      if (gid != 0) edits->gids.push_back(static_cast<uint32_t>(gid));  // 0 is ignored: CDI 0.7
      return absl::OkStatus();
    });
  };
  const Reader hooks = [edits](const Json& list) {
    return Unsupported(FirstHook(list), &edits->unsupported)(list);
  };
  return ReadObject(value, "containerEdits",
                    {{"env", env},
                     {"deviceNodes", nodes},
                     {"mounts", mounts},
                     {"additionalGids", gids},
                     {"additionalGIDs", gids},
                     {"hooks", hooks},
                     {"netDevices", Unsupported("netDevices", &edits->unsupported)},
                     {"intelRdt", Unsupported("intelRdt", &edits->unsupported)}});
}

StatusOr<CdiSpec> ReadCdiSpec(const Json& value) {
  CdiSpec spec;
  std::string version;
  Json devices = Json::array();
  RETURN_IF_ERROR(ReadObject(
      value, "spec",
      {{"cdiVersion", Text(&version)},
       {"kind", Text(&spec.kind)},
       {"annotations", Ignore},
       {"containerEdits", [&](const Json& part) { return ReadCdiEdits(part, &spec.common); }},
       {"devices", [&](const Json& list) {
          return ReadList(list, [&](const Json& item) { return ReadDevice(item, &spec); });
        }}}));
  if (!IsVersion(version)) {
    return Wrong("cdiVersion", absl::StrCat("\"", version, "\" is not known (0.1.0 to 1.1.0)"));
  }
  if (!IsCdiKind(spec.kind)) {
    return Wrong("kind", absl::StrCat("\"", spec.kind, "\" is not vendor/class"));
  }
  if (spec.devices.empty()) return Wrong("devices", "there are none");
  return spec;
}

StatusOr<CdiSpec> ParseCdiJson(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json value, ParseJson(text, {4 << 20, 16}));
  return ReadCdiSpec(value);
}

}  // namespace crisp::cri
