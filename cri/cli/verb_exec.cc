// Commands in containers: at once by ExecSync, or with our own streams.
#include <unistd.h>

#include "cri/cli/objects.h"
#include "cri/cli/output.h"
#include "cri/cli/stream_session.h"
#include "cri/cli/verb.h"
#include "runtime/base/files.h"

namespace crisp::cli {
namespace {

Status CheckTerminal(const Invocation& call) {
  if (!call.Has("tty") || !call.Has("interactive") || isatty(0)) return absl::OkStatus();
  return absl::InvalidArgumentError("-t with -i needs a terminal as our own input");
}

StatusOr<int> ExecLive(CriClient& client, const std::string& id, const Invocation& call) {
  RETURN_IF_ERROR(CheckTerminal(call));
  v1::ExecRequest request;
  request.set_container_id(id);
  request.set_tty(call.Has("tty"));
  request.set_stdin(call.Has("interactive"));
  request.set_stdout(true);
  request.set_stderr(!call.Has("tty"));
  for (size_t i = 1; i < call.args.size(); ++i) request.add_cmd(call.args[i]);
  ASSIGN_OR_RETURN(const auto response, client.Exec(request));
  return RunSession(response.url(),
                    {call.Has("interactive"), call.Has("tty"), false, call.Get("ca")});
}

}  // namespace

StatusOr<int> RunExec(const Invocation& call) {
  ASSIGN_OR_RETURN(const int64_t timeout, call.GetInt("timeout", 0, 0, 1'000'000));
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const v1::Container container, FindContainer(*client, call.args[0]));
  if (call.Has("interactive") || call.Has("tty")) {
    if (call.Has("timeout"))
      return absl::InvalidArgumentError("--timeout goes with neither -i nor -t");
    return ExecLive(*client, container.id(), call);
  }
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

StatusOr<int> RunAttach(const Invocation& call) {
  RETURN_IF_ERROR(CheckTerminal(call));
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const v1::Container container, FindContainer(*client, call.args[0]));
  v1::AttachRequest request;
  request.set_container_id(container.id());
  request.set_tty(call.Has("tty"));
  request.set_stdin(call.Has("interactive"));
  request.set_stdout(true);
  request.set_stderr(!call.Has("tty"));
  ASSIGN_OR_RETURN(const auto response, client->Attach(request));
  return RunSession(response.url(),
                    {call.Has("interactive"), call.Has("tty"), call.Has("tty"), call.Get("ca")});
}

}  // namespace crisp::cli
