// `crisp run`: image, pod, container, start, then its log until it ends.
#include "cri/cli/log_follow.h"
#include "cri/cli/objects.h"
#include "cri/cli/output.h"
#include "cri/cli/run_config.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"

namespace crisp::cli {
namespace {

// The id of the image, pulled if it is not there.
StatusOr<std::string> EnsureImage(CriClient& client, const std::string& image) {
  v1::ImageStatusRequest status;
  status.mutable_image()->set_image(image);
  ASSIGN_OR_RETURN(const auto found, client.ImageStatus(status));
  if (found.has_image()) return found.image().id();
  (void)WriteAll(2, absl::StrCat("pulling ", Printable(image), "\n"));
  v1::PullImageRequest pull;
  pull.mutable_image()->set_image(image);
  ASSIGN_OR_RETURN(const auto pulled, client.PullImage(pull, absl::InfiniteDuration()));
  return pulled.image_ref();
}

// The CRI allows two pods of one name (other uid); for us the name is how one says which.
Status CheckNameIsFree(CriClient& client, const std::string& name) {
  ASSIGN_OR_RETURN(const auto pods, client.ListPodSandbox({}));
  for (const v1::PodSandbox& pod : pods.items()) {
    if (pod.metadata().name() == name && pod.metadata().namespace_() == kRunNamespace)
      return absl::AlreadyExistsError(
          absl::StrCat("there is a pod ", name, ": remove it first (crisp rm ", name, ")"));
  }
  return absl::OkStatus();
}

void RemoveLogs(const std::string& name) {
  if (auto logs = OpenDir(kRunLogRoot); logs.ok()) (void)RemoveTreeAt(logs->get(), name);
}

StatusOr<v1::PodSandbox> RunPod(CriClient& client, const RunPlan& config) {
  v1::RunPodSandboxRequest request;
  *request.mutable_config() = config.pod;
  ASSIGN_OR_RETURN(const auto response, client.RunPodSandbox(request, 2 * kDefaultTimeout));
  v1::PodSandbox pod;
  pod.set_id(response.pod_sandbox_id());
  *pod.mutable_metadata() = config.pod.metadata();
  *pod.mutable_labels() = config.pod.labels();
  return pod;
}

StatusOr<std::string> StartContainer(CriClient& client, const std::string& pod_id,
                                     const RunPlan& config) {
  v1::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod_id);
  *create.mutable_config() = config.container;
  *create.mutable_sandbox_config() = config.pod;
  ASSIGN_OR_RETURN(const auto created, client.CreateContainer(create));
  v1::StartContainerRequest start;
  start.set_container_id(created.container_id());
  RETURN_IF_ERROR(client.StartContainer(start).status());
  return created.container_id();
}

StatusOr<int> Attach(CriClient& client, const std::string& id, const RunPlan& config) {
  LogReader log(absl::StrCat(config.log_directory, "/", config.container.log_path()), false);
  RETURN_IF_ERROR(log.Open(-1));
  return FollowLog(client, id, log, /*stop_on_signal=*/true);
}

}  // namespace

StatusOr<int> RunRun(const Invocation& call) {
  ASSIGN_OR_RETURN(RunPlan config, MakeRunPlan(call, RandomHex(6), RandomHex(32)));
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const std::string image, EnsureImage(*client, call.args[0]));
  config.container.mutable_image()->set_image(image);
  config.container.mutable_image()->set_user_specified_image(call.args[0]);
  RETURN_IF_ERROR(CheckNameIsFree(*client, config.name));
  RETURN_IF_ERROR(MakeDirs(config.log_directory, 0755));
  Pending logs([&] { RemoveLogs(config.name); });
  ASSIGN_OR_RETURN(const v1::PodSandbox pod, RunPod(*client, config));
  logs.Commit();  // they go with the pod from here
  Pending remove([&] { (void)RemovePod(*client, pod); });
  ASSIGN_OR_RETURN(const std::string id, StartContainer(*client, pod.id(), config));
  if (!call.Has("rm")) remove.Commit();
  if (!call.Has("detach")) return Attach(*client, id, config);
  remove.Commit();
  Print(id + "\n");
  return 0;
}

}  // namespace crisp::cli
