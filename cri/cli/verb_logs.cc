#include "cri/cli/log_follow.h"
#include "cri/cli/objects.h"
#include "cri/cli/verb.h"

namespace crisp::cli {

StatusOr<int> RunLogs(const Invocation& call) {
  ASSIGN_OR_RETURN(const int64_t tail, call.GetInt("tail", -1, 0, INT32_MAX));
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const v1::Container container, FindContainer(*client, call.args[0]));
  v1::ContainerStatusRequest request;
  request.set_container_id(container.id());
  ASSIGN_OR_RETURN(const auto response, client->ContainerStatus(request));
  if (response.status().log_path().empty())
    return absl::FailedPreconditionError("the container was made without a log");
  LogReader log(response.status().log_path(), call.Has("timestamps"));
  RETURN_IF_ERROR(log.Open(tail));
  if (!call.Has("follow")) {
    RETURN_IF_ERROR(log.Pump());
    return 0;
  }
  RETURN_IF_ERROR(FollowLog(*client, container.id(), log, /*stop_on_signal=*/false).status());
  return 0;
}

}  // namespace crisp::cli
