// The target of an ephemeral debug container: NamespaceMode TARGET.
#include "cri/service/runtime_service.h"

namespace crisp::cri {
namespace {

constexpr char kField[] = "security_context.namespace_options.target_id";

}  // namespace

StatusOr<std::shared_ptr<UniqueFd>> TargetProcess(const std::string& target_id,
                                                  const std::string& pod_id, const PodStore& pods) {
  const auto target = pods.FindContainer(target_id);
  if (!target.ok()) return InvalidField(kField, target_id, target.status().message());
  if ((*target)->pod_id != pod_id) {
    return InvalidField(kField, target_id, "is a container of another pod sandbox");
  }
  (*target)->joined = true;  // from here on execs into it are seen by others
  std::lock_guard<std::mutex> lock((*target)->mu);
  if ((*target)->state == ContainerState::kRunning && (*target)->pidfd) return (*target)->pidfd;
  return absl::FailedPreconditionError(absl::StrCat(kField, ": container ", target_id, " is ",
                                                    Name((*target)->state), ", not running"));
}

}  // namespace crisp::cri
