// UserNamespace of NamespaceOption: one range, as the kubelet gives it to a pod.
#include "cri/translate/user_namespace.h"

#include "cri/translate/checks.h"

namespace crisp::cri {
namespace {

using Mappings = google::protobuf::RepeatedPtrField<v1::IDMapping>;

std::string Field(const char* name) {
  return absl::StrCat("namespace_options.userns_options.", name);
}

// CRI: exactly one. Without id 0 nobody could own what the pod's root needs.
StatusOr<runtime::IdRange> RangeOf(const char* name, const Mappings& mappings) {
  if (mappings.size() != 1) {
    return InvalidField(Field(name), absl::StrCat(mappings.size(), " mappings"),
                        "exactly one is supported");
  }
  const v1::IDMapping& mapping = mappings[0];
  if (mapping.container_id() != 0) {
    return InvalidField(Field(name), absl::StrCat("container_id ", mapping.container_id()),
                        "id 0 of the pod must be mapped");
  }
  return runtime::IdRange{mapping.container_id(), mapping.host_id(), mapping.length()};
}

}  // namespace

StatusOr<runtime::IdMap> IdMapOf(const v1::NamespaceOption& options) {
  runtime::IdMap map;
  const v1::UserNamespace& asked = options.userns_options();
  if (!options.has_userns_options() || asked.mode() == v1::NODE) {
    if (asked.uids_size() + asked.gids_size() == 0) return map;
    return InvalidField(Field("uids"), absl::StrCat(asked.uids_size(), " mappings"),
                        "mode NODE has none");
  }
  if (asked.mode() != v1::POD) {
    return InvalidField(Field("mode"), v1::NamespaceMode_Name(asked.mode()), "must be POD or NODE");
  }
  ASSIGN_OR_RETURN(const runtime::IdRange uids, RangeOf("uids", asked.uids()));
  ASSIGN_OR_RETURN(const runtime::IdRange gids, RangeOf("gids", asked.gids()));
  map = {{uids}, {gids}};
  RETURN_IF_ERROR(runtime::CheckIdMap(Field("uids and gids"), map));
  return map;
}

Status CheckPodUserNamespace(const v1::NamespaceOption& options) {
  ASSIGN_OR_RETURN(const runtime::IdMap map, IdMapOf(options));
  if (map.empty()) return absl::OkStatus();
  // The kernel gives a procfs or mqueue of the host's namespaces to the host's root alone.
  if (options.pid() == v1::NODE || options.ipc() == v1::NODE) {
    return InvalidField(Field("mode"), "POD",
                        "is not possible with the node's pid or IPC namespace");
  }
  return absl::OkStatus();
}

Status FillUserNamespace(const TranslateInput& input, runtime::ContainerSpec* spec) {
  const v1::NamespaceOption& pod = input.pod->linux().security_context().namespace_options();
  ASSIGN_OR_RETURN(spec->id_map, IdMapOf(pod));
  const v1::NamespaceOption& asked = input.config->linux().security_context().namespace_options();
  if (asked.has_userns_options()) {
    ASSIGN_OR_RETURN(const runtime::IdMap map, IdMapOf(asked));
    if (!(map == spec->id_map)) {
      return InvalidField("security_context." + Field("mode"),
                          v1::NamespaceMode_Name(asked.userns_options().mode()),
                          "must be the same as the pod sandbox's");
    }
  }
  if (!spec->id_map.empty() && spec->pid == runtime::NamespaceMode::kNode) {
    return InvalidField("security_context.namespace_options.pid", "NODE",
                        "is not possible in a pod with a user namespace");
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
