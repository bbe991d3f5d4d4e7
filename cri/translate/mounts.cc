#include <algorithm>
#include <set>

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "runtime/container/mount_rules.h"

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

runtime::IdRange RangeOf(const v1::IDMapping& mapping) {
  return {mapping.container_id(), mapping.host_id(), mapping.length()};
}

StatusOr<runtime::IdMap> IdMapOf(const v1::Mount& mount) {
  runtime::IdMap map;
  for (const v1::IDMapping& each : mount.uidmappings()) map.uids.push_back(RangeOf(each));
  for (const v1::IDMapping& each : mount.gidmappings()) map.gids.push_back(RangeOf(each));
  if (!map.empty()) RETURN_IF_ERROR(runtime::CheckIdMap("mounts.uidMappings, gidMappings", map));
  return map;
}

StatusOr<std::string> SubPathOf(const v1::Mount& mount) {
  const std::string& path = mount.image_sub_path();
  if (path.empty()) return path;
  if (path[0] == '/') return InvalidField("mounts.image_sub_path", path, "must be relative");
  ASSIGN_OR_RETURN(const std::string clean, CleanPath("mounts.image_sub_path", "/" + path));
  return clean.substr(1);
}

Status CheckImage(const v1::Mount& mount) {
  if (!mount.host_path().empty()) {
    return InvalidField("mounts.host_path", mount.host_path(), "must be empty beside an image");
  }
  if (!mount.readonly()) {
    return InvalidField("mounts.readonly", mount.container_path(), "an image is read-only");
  }
  if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return InvalidField("mounts.propagation", mount.container_path(),
                        "an image needs PROPAGATION_PRIVATE");
  }
  return absl::OkStatus();
}

// Where it comes from: an image or a path of the host.
Status FillSource(const v1::Mount& mount, const std::vector<std::string>* layers,
                  runtime::BindMount* out) {
  if (IsImageMount(mount)) {
    RETURN_IF_ERROR(CheckImage(mount));
    out->image_layers = *layers;
    ASSIGN_OR_RETURN(out->image_sub_path, SubPathOf(mount));
    return absl::OkStatus();
  }
  if (!mount.image_sub_path().empty()) {
    return InvalidField("mounts.image_sub_path", mount.image_sub_path(), "needs an image");
  }
  RETURN_IF_ERROR(CheckAbsolutePath("mounts.host_path", mount.host_path()));
  out->host_path = mount.host_path();
  return absl::OkStatus();
}

StatusOr<runtime::BindMount> TranslateMount(const v1::Mount& mount, bool privileged,
                                            const std::vector<std::string>* layers) {
  RETURN_IF_ERROR(CheckRecursiveReadonly(mount));
  runtime::BindMount out;
  RETURN_IF_ERROR(FillSource(mount, layers, &out));
  ASSIGN_OR_RETURN(out.target, CleanPath("mounts.container_path", mount.container_path()));
  RETURN_IF_ERROR(runtime::CheckMountTarget(out.target, privileged));
  ASSIGN_OR_RETURN(out.propagation, PropagationOf(mount));
  ASSIGN_OR_RETURN(out.id_map, IdMapOf(mount));
  out.readonly = mount.readonly();
  out.recursive_readonly = mount.recursive_read_only();
  RETURN_IF_ERROR(FillOptions(mount, &out));
  return out;
}

}  // namespace

bool IsImageMount(const v1::Mount& mount) { return !mount.image().image().empty(); }

// A mount below another one must come after it.
void SortMounts(std::vector<runtime::BindMount>* mounts) {
  const auto depth = [](const std::string& path) {
    return std::count(path.begin(), path.end(), '/');
  };
  std::stable_sort(mounts->begin(), mounts->end(),
                   [&](const auto& a, const auto& b) { return depth(a.target) < depth(b.target); });
}

Status FillMounts(const TranslateInput& input, runtime::ContainerSpec* spec) {
  RETURN_IF_ERROR(CheckRange("number of mounts", input.config->mounts_size(), 0, kMaxMounts));
  std::set<std::string> targets;
  size_t volume = 0;
  for (const v1::Mount& mount : input.config->mounts()) {
    const std::vector<std::string>* layers = nullptr;
    if (IsImageMount(mount)) {
      if (volume >= input.volume_layers.size()) {
        return absl::InternalError("the layers of an image volume are missing");
      }
      layers = &input.volume_layers[volume++];
    }
    ASSIGN_OR_RETURN(runtime::BindMount out, TranslateMount(mount, spec->privileged, layers));
    if (!targets.insert(out.target).second) {
      return InvalidField("mounts.container_path", out.target, "is mounted twice");
    }
    if (mount.selinux_relabel()) out.relabel = spec->mount_label;
    spec->mounts.push_back(std::move(out));
  }
  SortMounts(&spec->mounts);
  return absl::OkStatus();
}

}  // namespace crisp::cri
