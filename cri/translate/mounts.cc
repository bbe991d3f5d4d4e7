#include <algorithm>
#include <set>

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"

namespace crisp::cri {
namespace {

StatusOr<runtime::Propagation> PropagationOf(const v1::Mount& mount) {
  switch (mount.propagation()) {
    case v1::PROPAGATION_PRIVATE:
      return runtime::Propagation::kPrivate;
    case v1::PROPAGATION_HOST_TO_CONTAINER:
      return runtime::Propagation::kSlave;
    case v1::PROPAGATION_BIDIRECTIONAL:
      return runtime::Propagation::kShared;
    default:
      return InvalidField("mounts.propagation", absl::StrCat(mount.propagation()),
                          "not a propagation mode");
  }
}

Status CheckUnsupported(const v1::Mount& mount) {
  if (!mount.image().image().empty() || !mount.image_sub_path().empty()) {
    return InvalidField("mounts.image", mount.image().image(),
                        "image volumes are not supported yet");
  }
  if (mount.uidmappings_size() > 0 || mount.gidmappings_size() > 0) {
    return InvalidField("mounts.uidMappings", mount.container_path(),
                        "id mappings are not supported yet");
  }
  return absl::OkStatus();
}

Status CheckRecursiveReadonly(const v1::Mount& mount) {
  if (!mount.recursive_read_only()) return absl::OkStatus();
  if (!mount.readonly())
    return InvalidField("mounts.recursive_read_only", mount.container_path(), "needs readonly");
  if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return InvalidField("mounts.recursive_read_only", mount.container_path(),
                        "needs PROPAGATION_PRIVATE");
  }
  return absl::OkStatus();
}

Status FillOptions(const v1::Mount& mount, runtime::BindMount* out) {
  for (const std::string& option : mount.mount_options()) {
    if (option == "noexec") {
      out->noexec = true;
    } else if (option == "nodev") {
      out->nodev = true;
    } else if (option == "nosuid") {
      out->nosuid = true;
    } else {
      return InvalidField("mounts.mount_options", option, "only noexec, nodev and nosuid");
    }
  }
  return absl::OkStatus();
}

// Over /proc or /sys a mount could stand in for what the masks and labels rely on (CVE-2019-16884,
// CVE-2023-28642).
StatusOr<std::string> TargetOf(const v1::Mount& mount) {
  ASSIGN_OR_RETURN(std::string target, CleanPath("mounts.container_path", mount.container_path()));
  if (target == "/")
    return InvalidField("mounts.container_path", mount.container_path(), "must not be the root");
  for (const char* top : {"/proc", "/sys"}) {
    if (IsBelow(target, top) && !IsBelow(target, "/sys/fs/cgroup")) {
      return InvalidField("mounts.container_path", mount.container_path(),
                          absl::StrCat("must not be ", top, " or below it"));
    }
  }
  return target;
}

StatusOr<runtime::BindMount> TranslateMount(const v1::Mount& mount) {
  RETURN_IF_ERROR(CheckUnsupported(mount));
  RETURN_IF_ERROR(CheckRecursiveReadonly(mount));
  RETURN_IF_ERROR(CheckAbsolutePath("mounts.host_path", mount.host_path()));
  runtime::BindMount out;
  out.host_path = mount.host_path();
  ASSIGN_OR_RETURN(out.target, TargetOf(mount));
  ASSIGN_OR_RETURN(out.propagation, PropagationOf(mount));
  out.readonly = mount.readonly();
  out.recursive_readonly = mount.recursive_read_only();
  RETURN_IF_ERROR(FillOptions(mount, &out));
  return out;
}

}  // namespace

Status FillMounts(const TranslateInput& input, runtime::ContainerSpec* spec) {
  RETURN_IF_ERROR(CheckRange("number of mounts", input.config->mounts_size(), 0, kMaxMounts));
  std::set<std::string> targets;
  for (const v1::Mount& mount : input.config->mounts()) {
    ASSIGN_OR_RETURN(runtime::BindMount out, TranslateMount(mount));
    if (!targets.insert(out.target).second) {
      return InvalidField("mounts.container_path", out.target, "is mounted twice");
    }
    spec->mounts.push_back(std::move(out));
  }
  const auto depth = [](const std::string& path) {
    return std::count(path.begin(), path.end(), '/');
  };
  // A mount below another one must come after it.
  std::stable_sort(spec->mounts.begin(), spec->mounts.end(),
                   [&](const auto& a, const auto& b) { return depth(a.target) < depth(b.target); });
  return absl::OkStatus();
}

}  // namespace crisp::cri
