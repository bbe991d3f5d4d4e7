// CreateContainer: everything is assembled, nothing runs.
#include <google/protobuf/util/message_differencer.h>

#include "cri/service/container_extras.h"
#include "cri/service/runtime_service.h"
#include "cri/translate/container_spec.h"
#include "runtime/base/id.h"
#include "runtime/container/image_volume.h"

namespace crisp::cri {
namespace {

StatusOr<std::string> JoinContainer(NameClaim& claim, const v1::CreateContainerRequest& request,
                                    const PodStore& pods, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string id, claim.Wait(deadline));
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container, pods.FindContainer(id));
  std::lock_guard<std::mutex> lock(container->mu);
  if (container->state == ContainerState::kCreated &&
      google::protobuf::util::MessageDifferencer::Equals(container->config, request.config())) {
    return id;
  }
  return absl::AlreadyExistsError(
      absl::StrCat("container name \"", request.config().metadata().name(), "\" attempt ",
                   request.config().metadata().attempt(), " is taken by container ", id, " (",
                   Name(container->state), ")"));
}

// The kubelet knows a failed image volume by how the message begins.
Status VolumeErrorFirst(const Status& status) {
  const absl::string_view message = status.message(), mark = runtime::kImageVolumeError;
  const size_t at = message.find(mark);
  if (at == 0 || at == absl::string_view::npos) return status;
  return Status(status.code(),
                absl::StrCat(mark, message.substr(0, at), message.substr(at + mark.size())));
}

TranslateInput InputFor(const Pod& pod, const Container& container,
                        const runtime::RuntimeContext& context) {
  TranslateInput input;
  input.id = container.id;
  input.sandbox_id = pod.id;
  input.config = &container.config;
  input.resources = &container.resources;
  input.pod = &pod.config;
  input.image = ImageOf(container.image);
  const auto& lower_dirs = container.image.lower_dirs();
  input.lower_dirs.assign(lower_dirs.begin(), lower_dirs.end());
  input.seccomp_source = container.seccomp_source;
  input.recovered = container.created_at != 0;
  if (pod.selinux_level) input.selinux_level = *pod.selinux_level;
  input.cgroup_mode = context.cgroups->mode();
  return input;
}

}  // namespace

records::Image ImageRecord(const image::ImageHandle& handle) {
  const image::ImageInfo& info = handle.info;
  records::Image record;
  record.set_id(info.id);
  record.set_reference(info.repo_digests.empty() ? info.id : info.repo_digests.front());
  for (const std::string& entry : info.config.env) record.add_env(entry);
  for (const std::string& arg : info.config.entrypoint) record.add_entrypoint(arg);
  for (const std::string& arg : info.config.cmd) record.add_cmd(arg);
  record.set_user(info.config.user);
  record.set_working_dir(info.config.working_dir);
  record.set_stop_signal(info.config.stop_signal);
  for (const std::string& dir : handle.lower_dirs) record.add_lower_dirs(dir);
  return record;
}

image::ImageConfig ImageOf(const records::Image& record) {
  image::ImageConfig config;
  config.env.assign(record.env().begin(), record.env().end());
  config.entrypoint.assign(record.entrypoint().begin(), record.entrypoint().end());
  config.cmd.assign(record.cmd().begin(), record.cmd().end());
  config.user = record.user();
  config.working_dir = record.working_dir();
  config.stop_signal = record.stop_signal();
  return config;
}

StatusOr<std::shared_ptr<const runtime::ContainerSpec>> SpecOf(const Pod& pod,
                                                               const Container& container,
                                                               const ServiceParts& parts) {
  ASSIGN_OR_RETURN(const Handler* handler, parts.handlers->Find(pod.runtime_handler));
  TranslateInput input = InputFor(pod, container, parts.runtime);
  RETURN_IF_ERROR(FillExtras(container, &input));
  ASSIGN_OR_RETURN(runtime::ContainerSpec spec, TranslateContainer(input));
  RETURN_IF_ERROR(ApplyHandler(*handler, container.config, &spec));
  return std::make_shared<const runtime::ContainerSpec>(std::move(spec));
}

Status RuntimeService::CreateContainer(const v1::CreateContainerRequest& request,
                                       v1::CreateContainerResponse* response, CallContext& call) {
  RETURN_IF_ERROR(ValidateContainerMetadata(request.config()));
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, parts_.pods->FindPod(request.pod_sandbox_id()));
  NameClaim claim = parts_.pods->names().Claim(ContainerName(pod->id, request.config().metadata()));
  if (!claim.is_maker()) {
    ASSIGN_OR_RETURN(*response->mutable_container_id(),
                     JoinContainer(claim, request, *parts_.pods, call.deadline()));
    return absl::OkStatus();
  }
  const std::string id = NewId();
  call.set_object(id);
  const StatusOr<std::shared_ptr<Container>> container = MakeContainer(request, id, *pod, call);
  claim.Finish(container.ok() ? StatusOr<std::string>(id) : container.status());
  if (!container.ok()) {
    return VolumeErrorFirst(Annotate(container.status(), "create container \"",
                                     request.config().metadata().name(), "\""));
  }
  response->set_container_id(id);
  return absl::OkStatus();
}

StatusOr<std::shared_ptr<Container>> RuntimeService::MakeContainer(
    const v1::CreateContainerRequest& request, const std::string& id, Pod& pod, CallContext& call) {
  ASSIGN_OR_RETURN(image::ImageHandle image,
                   parts_.images->Acquire(request.config().image().image()));
  call.stages().Mark("image");
  auto container = std::make_shared<Container>();
  container->id = id;
  container->pod_id = pod.id;
  container->name = ContainerName(pod.id, request.config().metadata());
  container->config = request.config();
  container->resources = request.config().linux().resources();
  container->image = ImageRecord(image);
  container->image_pin = image.pin;
  RETURN_IF_ERROR(AcquireVolumes(*parts_.images, container.get()));
  RETURN_IF_ERROR(ResolveCdiDevices(options_.cdi_dirs, container.get()));
  ASSIGN_OR_RETURN(container->spec, SpecOf(pod, *container, parts_));
  if (container->spec->seccomp) container->seccomp_source = container->spec->seccomp->source;
  ASSIGN_OR_RETURN(container->log_path, LogPathOf(pod.config, request.config()));
  container->log_directory = pod.config.log_directory();
  ASSIGN_OR_RETURN(container->stop_signal, StopSignalOf(request.config(), image.info.config));
  if (container->spec->pid == runtime::NamespaceMode::kTarget) {
    RETURN_IF_ERROR(TargetProcess(container->spec->pid_target, pod.id, *parts_.pods).status());
  }
  call.stages().Mark("translate");
  ASSIGN_OR_RETURN(container->prepared,
                   runtime::PrepareContainer(*container->spec, parts_.runtime, /*reuse=*/false));
  call.stages().Mark("prepare");
  container->identity = container->prepared->identity;
  container->created_at = RealtimeNanos();

  std::lock_guard<std::mutex> lock(pod.mu);
  Status status = pod.state == PodState::kReady
                      ? parts_.journal->Append(RecordOf(*container))
                      : absl::FailedPreconditionError(
                            absl::StrCat("pod sandbox ", pod.id, " is ", Name(pod.state)));
  if (!status.ok()) {
    const std::string parent = container->spec->cgroup_parent;
    container->prepared = nullptr;
    (void)runtime::DestroyContainer(id, parent, parts_.runtime);
    return status;
  }
  pod.containers.push_back(container);
  parts_.pods->Add(container);
  std::lock_guard<std::mutex> container_lock(container->mu);
  NoteEvent(v1::CONTAINER_CREATED_EVENT, *container);
  call.stages().Mark("record");
  return container;
}

}  // namespace crisp::cri
