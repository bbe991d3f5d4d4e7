#include "runtime/base/files.h"
#include "runtime/container/container_runtime.h"

namespace crisp::runtime {
namespace {

constexpr int kKillTimeoutMs = 5000;

Status DestroyCgroup(const std::string& id, const std::string& parent, CgroupHost* host) {
  auto group = host->Open(parent, id);
  if (absl::IsNotFound(group.status())) return absl::OkStatus();
  RETURN_IF_ERROR(group.status());
  RETURN_IF_ERROR((*group)->Kill(kKillTimeoutMs));
  return (*group)->Remove();
}

Status DestroyDirectory(const std::string& id, const std::string& containers_dir) {
  const auto parent = OpenDir(containers_dir);
  if (absl::IsNotFound(parent.status())) return absl::OkStatus();
  RETURN_IF_ERROR(parent.status());
  return RemoveTreeAt(parent->get(), id);
}

}  // namespace

Status DestroyContainer(const std::string& id, const std::string& cgroup_parent,
                        const RuntimeContext& context) {
  RETURN_IF_ERROR(Annotate(DestroyCgroup(id, cgroup_parent, context.cgroups), "destroy ", id));
  return Annotate(DestroyDirectory(id, context.containers_dir), "destroy ", id);
}

}  // namespace crisp::runtime
