#include "cri/cli/objects.h"
#include "cri/cli/output.h"
#include "cri/cli/verb.h"
#include "runtime/base/files.h"

namespace crisp::cli {

StatusOr<int> RunExec(const Invocation& call) {
  ASSIGN_OR_RETURN(const int64_t timeout, call.GetInt("timeout", 0, 0, 1'000'000));
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const v1::Container container, FindContainer(*client, call.args[0]));
  v1::ExecSyncRequest request;
  request.set_container_id(container.id());
  request.set_timeout(timeout);
  for (size_t i = 1; i < call.args.size(); ++i) request.add_cmd(call.args[i]);
  const absl::Duration wait =
      timeout == 0 ? absl::InfiniteDuration() : kDefaultTimeout + absl::Seconds(timeout);
  ASSIGN_OR_RETURN(const auto response, client->ExecSync(request, wait));
  RETURN_IF_ERROR(WriteAll(1, response.stdout()));
  RETURN_IF_ERROR(WriteAll(2, response.stderr()));
  return response.exit_code();
}

}  // namespace crisp::cli
