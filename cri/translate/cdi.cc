// What CDI adds to a container. It comes last: it replaces what the request says of the same name.
#include <algorithm>

#include "absl/strings/match.h"
#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "runtime/container/mount_rules.h"

namespace crisp::cri {
namespace {

void SetVariable(const std::string& entry, std::vector<std::string>* env) {
  const std::string name = entry.substr(0, entry.find('=') + 1);
  for (std::string& each : *env) {
    if (!absl::StartsWith(each, name)) continue;
    each = entry;
    return;
  }
  env->push_back(entry);
}

// Options of mount(8) that say something about a bind; "rbind" is what every bind of ours is.
Status SetOption(const std::string& option, runtime::BindMount* mount) {
  if (option == "ro") {
    mount->readonly = true;
  } else if (option == "nosuid") {
    mount->nosuid = true;
  } else if (option == "nodev") {
    mount->nodev = true;
  } else if (option == "noexec") {
    mount->noexec = true;
  } else if (option == "slave" || option == "rslave") {
    mount->propagation = runtime::Propagation::kSlave;
  } else if (option == "shared" || option == "rshared") {
    mount->propagation = runtime::Propagation::kShared;
  } else if (option != "rw" && option != "bind" && option != "rbind" && option != "private" &&
             option != "rprivate" && option != "relatime" && option != "defaults") {
    return InvalidField("CDI mounts.options", option, "not supported");
  }
  return absl::OkStatus();
}

Status AddMount(const CdiMount& wanted, runtime::ContainerSpec* spec) {
  runtime::BindMount mount;
  RETURN_IF_ERROR(CheckAbsolutePath("CDI mounts.hostPath", wanted.host_path));
  mount.host_path = wanted.host_path;
  mount.must_exist = true;  // the vendor's file, not a volume
  ASSIGN_OR_RETURN(mount.target, CleanPath("CDI mounts.containerPath", wanted.container_path));
  RETURN_IF_ERROR(runtime::CheckMountTarget(mount.target, spec->privileged));
  for (const std::string& option : wanted.options) RETURN_IF_ERROR(SetOption(option, &mount));
  const auto same = std::find_if(spec->mounts.begin(), spec->mounts.end(),
                                 [&](const auto& each) { return each.target == mount.target; });
  if (same != spec->mounts.end()) spec->mounts.erase(same);
  spec->mounts.push_back(std::move(mount));
  return absl::OkStatus();
}

}  // namespace

Status FillCdi(const TranslateInput& input, runtime::ContainerSpec* spec) {
  for (const std::string& entry : input.cdi.env) SetVariable(entry, &spec->env);
  for (const CdiNode& node : input.cdi.nodes) RETURN_IF_ERROR(AddCdiNode(node, spec));
  for (const CdiMount& mount : input.cdi.mounts) RETURN_IF_ERROR(AddMount(mount, spec));
  if (!input.cdi.mounts.empty()) SortMounts(&spec->mounts);
  for (const uint32_t gid : input.cdi.gids) spec->user.supplemental_groups.push_back(gid);
  return CheckRange("number of device rules", static_cast<int64_t>(spec->device_rules.size()), 0,
                    kMaxDevices);
}

}  // namespace crisp::cri
