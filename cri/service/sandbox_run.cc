// RunPodSandbox: a pod's namespaces, network and files. No process is started.
#include <google/protobuf/util/message_differencer.h>

#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"
#include "cri/translate/pod_spec.h"
#include "cri/translate/selinux.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"

namespace crisp::cri {
namespace {

// A second request of the same name: the first one's result if it asked for the same.
StatusOr<std::string> JoinPod(NameClaim& claim, const v1::RunPodSandboxRequest& request,
                              const PodStore& pods, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string id, claim.Wait(deadline));
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, pods.FindPod(id));
  std::lock_guard<std::mutex> lock(pod->mu);
  if (pod->state == PodState::kReady &&
      google::protobuf::util::MessageDifferencer::Equals(pod->config, request.config())) {
    return id;
  }
  return absl::AlreadyExistsError(
      absl::StrCat("pod sandbox name ", PodName(request.config().metadata()),
                   " is taken by sandbox ", id, " (", Name(pod->state), ")"));
}

void FillFiles(const std::vector<std::string>& ips, runtime::PodSpec* spec) {
  if (spec->hosts.empty()) spec->hosts = runtime::MakeHostsFile(ips, spec->hostname);
  if (!spec->resolv_conf.empty()) return;
  // No dns_config: the host's. A host without one gives an empty file, as the peers do.
  spec->resolv_conf = ReadFile("/etc/resolv.conf", 64 << 10).value_or("");
}

keeper::PodFds FdsOf(const runtime::PodSandbox& sandbox) {
  return {sandbox.net.get(), sandbox.ipc.get(),   sandbox.uts.get(),
          sandbox.shm.get(), sandbox.files.get(), sandbox.user.get()};
}

cni::PodIdentity IdentityOf(const std::string& id, const v1::PodSandboxConfig& config, int netns) {
  cni::PodIdentity pod{
      id, config.metadata().name(), config.metadata().namespace_(), config.metadata().uid(), {}};
  for (const v1::PortMapping& port : config.port_mappings()) {
    constexpr const char* kProtocols[] = {"tcp", "udp", "sctp"};
    pod.ports.push_back(
        {kProtocols[port.protocol() % 3], port.container_port(), port.host_port(), port.host_ip()});
  }
  pod.netns = netns;
  return pod;
}

Status CheckUserNamespace(const runtime::PodSpec& spec, const KernelFeatures& features) {
  if (spec.id_map.empty() || features.user_namespaces) return absl::OkStatus();
  return InvalidField("namespace_options.userns_options.mode", "POD",
                      "this kernel cannot map the ids of a tmpfs (Linux 6.3 can)");
}

}  // namespace

Status RuntimeService::RunPodSandbox(const v1::RunPodSandboxRequest& request,
                                     v1::RunPodSandboxResponse* response, CallContext& call) {
  RETURN_IF_ERROR(parts_.handlers->Find(request.runtime_handler()).status());
  const std::string id = NewId();
  RETURN_IF_ERROR(
      parts_.runtime.cgroups->NormalizeParent(request.config().linux().cgroup_parent()).status());
  PodDefaults defaults;
  std::shared_ptr<const std::string> level;
  if (NeedsSelinuxLevel(request.config())) {
    ASSIGN_OR_RETURN(level, parts_.pods->levels().Pick());
    defaults.selinux_level = *level;
  }
  ASSIGN_OR_RETURN(runtime::PodSpec spec, TranslatePod(request.config(), id, defaults));
  RETURN_IF_ERROR(CheckUserNamespace(spec, parts_.runtime.features));
  NameClaim claim = parts_.pods->names().Claim(PodName(request.config().metadata()));
  if (!claim.is_maker()) {
    ASSIGN_OR_RETURN(*response->mutable_pod_sandbox_id(),
                     JoinPod(claim, request, *parts_.pods, call.deadline()));
    return absl::OkStatus();
  }
  call.set_object(id);
  call.stages().Mark("translate");
  const StatusOr<std::shared_ptr<Pod>> pod =
      MakePod(request, id, std::move(spec), std::move(level), call);
  claim.Finish(pod.ok() ? StatusOr<std::string>(id) : pod.status());
  if (!pod.ok())
    return Annotate(pod.status(), "run pod sandbox ", PodName(request.config().metadata()));
  response->set_pod_sandbox_id(id);
  return absl::OkStatus();
}

// Between this call and the next nobody waits for it: a container's group finds it made, or makes
// it.
void RuntimeService::BeginPodGroup(Pod& pod) {
  pod.group = std::make_unique<SideStep>(
      parts_.runtime.side,
      [cgroups = parts_.runtime.cgroups, parent = pod.config.linux().cgroup_parent()] {
        return cgroups->MakeParent(parent);
      });
}

StatusOr<std::shared_ptr<Pod>> RuntimeService::MakePod(const v1::RunPodSandboxRequest& request,
                                                       const std::string& id, runtime::PodSpec spec,
                                                       std::shared_ptr<const std::string> level,
                                                       CallContext& call) {
  auto pod = std::make_shared<Pod>();
  cni::Lease lease;
  Pending network;
  runtime::PodNamespaces given;
  if (!spec.id_map.empty()) {
    // First, because it owns the others: the pool's network namespaces are of no use.
    ASSIGN_OR_RETURN(given, runtime::MakePodNamespaces(spec.id_map, !spec.host_network));
    call.stages().Mark("user namespace");
  }
  if (!spec.host_network) {
    ASSIGN_OR_RETURN(lease, parts_.network->Add(IdentityOf(id, request.config(), given.net.get())));
    given.net = std::move(lease.netns);
    network = Pending([&] { (void)parts_.network->Release(id, lease.record); });
    call.stages().Mark("network");
  }
  FillFiles(lease.ips, &spec);
  ASSIGN_OR_RETURN(
      runtime::PodSandbox sandbox,
      runtime::MakePodSandbox(spec, std::move(given), parts_.runtime.features, options_.state_dir));
  Pending files([&] { (void)runtime::RemovePodSandboxFiles(id, options_.state_dir); });
  call.stages().Mark("namespaces");
  RETURN_IF_ERROR(parts_.runtime.keeper->HoldPod(id, FdsOf(sandbox)));
  Pending held([&] { parts_.runtime.keeper->Drop(id); });
  call.stages().Mark("hold");
  pod->id = id;
  pod->config = request.config();
  Pending pause([&] { (void)EndPause(*pod, absl::Now() + absl::Seconds(5)); });
  if (spec.shared_pid) {
    RETURN_IF_ERROR(BeginPause(*pod, spec.id_map, &sandbox));
    call.stages().Mark("pause");
  }

  pod->name = PodName(request.config().metadata());
  pod->overhead = request.config().linux().overhead();
  pod->resources = request.config().linux().resources();
  pod->runtime_handler = request.runtime_handler();
  pod->created_at = RealtimeNanos();
  pod->selinux_level = std::move(level);
  pod->ips = lease.ips;
  pod->network_record = lease.record;
  pod->sandbox = std::make_shared<const runtime::PodSandbox>(std::move(sandbox));
  ASSIGN_OR_RETURN(pod->made_parent,
                   parts_.runtime.cgroups->MissingParent(request.config().linux().cgroup_parent()));
  RETURN_IF_ERROR(parts_.journal->Append(RecordOf(*pod)));
  BeginPodGroup(*pod);
  parts_.pods->Add(pod);
  {
    std::lock_guard<std::mutex> lock(pod->mu);
    NoteEvent(v1::CONTAINER_CREATED_EVENT, *pod);
    NoteEvent(v1::CONTAINER_STARTED_EVENT, *pod);
  }
  network.Commit();
  files.Commit();
  held.Commit();
  pause.Commit();
  call.stages().Mark("record");
  return pod;
}

}  // namespace crisp::cri
