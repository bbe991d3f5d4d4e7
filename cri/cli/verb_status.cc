// status, inspect, version, help.
#include "cri/cli/objects.h"
#include "cri/cli/output.h"
#include "cri/cli/verb.h"

namespace crisp::cli {
namespace {

std::map<std::string, std::string> InfoOf(
    const google::protobuf::Map<std::string, std::string>& info) {
  return {info.begin(), info.end()};
}

StatusOr<std::string> InspectContainer(CriClient& client, const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto response, client.ContainerStatus(request));
  return InspectText(response.status(), InfoOf(response.info()));
}

StatusOr<std::string> InspectPod(CriClient& client, const std::string& id) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto response, client.PodSandboxStatus(request));
  return InspectText(response.status(), InfoOf(response.info()));
}

StatusOr<std::string> InspectImage(CriClient& client, const std::string& text) {
  v1::ImageStatusRequest request;
  request.mutable_image()->set_image(text);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto response, client.ImageStatus(request));
  if (!response.has_image())
    return absl::NotFoundError(
        absl::StrCat("no container, pod or image \"", Printable(text), "\""));
  return InspectText(response.image(), InfoOf(response.info()));
}

StatusOr<std::string> Inspect(CriClient& client, const std::string& text) {
  const auto container = FindContainer(client, text);
  if (container.ok()) return InspectContainer(client, container->id());
  if (!absl::IsNotFound(container.status())) return container.status();
  const auto pod = FindPod(client, text);
  if (pod.ok()) return InspectPod(client, pod->id());
  if (!absl::IsNotFound(pod.status())) return pod.status();
  return InspectImage(client, text);
}

std::string ConditionsText(const v1::StatusResponse& response) {
  Table table({"CONDITION", "OK", "REASON", "MESSAGE"});
  for (const v1::RuntimeCondition& condition : response.status().conditions())
    table.Add({condition.type(), condition.status() ? "yes" : "no", condition.reason(),
               condition.message()});
  return table.Text();
}

}  // namespace

StatusOr<int> RunInspect(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const std::string text, Inspect(*client, call.args[0]));
  Print(text);
  return 0;
}

StatusOr<int> RunStatus(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const auto version, client->Version({}));
  v1::StatusRequest request;
  request.set_verbose(call.Has("verbose"));
  ASSIGN_OR_RETURN(const auto response, client->RuntimeStatus(request));
  if (call.json() || call.Has("verbose")) {
    Print(InspectText(response.status(), InfoOf(response.info())));
  } else {
    Print(absl::StrCat(Printable(version.runtime_name()), " ", Printable(version.runtime_version()),
                       " (CRI ", Printable(version.runtime_api_version()), ")\n",
                       ConditionsText(response)));
  }
  for (const v1::RuntimeCondition& condition : response.status().conditions())
    if (!condition.status() &&
        (condition.type() == "RuntimeReady" || condition.type() == "NetworkReady"))
      return 1;
  return 0;
}

StatusOr<int> RunVersion(const Invocation& call) {
  Print("crisp " CRISP_VERSION "\n");
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const auto version, client->Version({}));
  Print(absl::StrCat(Printable(version.runtime_name()), " ", Printable(version.runtime_version()),
                     " (CRI ", Printable(version.runtime_api_version()), ")\n"));
  return 0;
}

StatusOr<int> RunHelp(const Invocation& call) {
  const Verb* verb = call.args.empty() ? nullptr : FindVerb(call.args[0]);
  if (verb == nullptr && !call.args.empty())
    return InvalidField("verb", call.args[0], "unknown, see crisp help");
  Print(verb == nullptr ? Overview() : HelpFor(*verb));
  return 0;
}

}  // namespace crisp::cli
