#include "cri/service/recovery.h"

#include <map>
#include <set>

#include "absl/strings/str_split.h"
#include "cri/service/container_extras.h"
#include "cri/translate/container_spec.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/log.h"
#include "runtime/container/pause.h"

namespace crisp::cri {
namespace {

// What the keeper holds, taken out piece by piece; the rest belongs to nobody.
struct Held {
  std::map<std::string, keeper::HeldPod> pods;
  std::map<std::string, keeper::HeldContainer> containers;
};

StatusOr<Held> AskKeeper(keeper::KeeperClient& keeper) {
  Held held;
  ASSIGN_OR_RETURN(std::vector<keeper::HeldPod> pods, keeper.EnumeratePods());
  for (auto& pod : pods) held.pods.emplace(pod.id, std::move(pod));
  ASSIGN_OR_RETURN(std::vector<keeper::HeldContainer> containers, keeper.EnumerateContainers());
  for (auto& container : containers) held.containers.emplace(container.id, std::move(container));
  return held;
}

// False: the pod's containers need it, and it is gone.
bool RestorePause(Pod& pod, Held& held, const ServiceParts& parts, runtime::PodSandbox* sandbox) {
  const auto it = held.containers.find(runtime::PauseId(pod.id));
  const v1::LinuxSandboxSecurityContext& context = pod.config.linux().security_context();
  const bool shared =
      context.has_namespace_options() && context.namespace_options().pid() == v1::POD;
  if (!shared) return true;
  pod.pause_cgroup =
      runtime::FindPauseCgroup(pod.id, pod.config.linux().cgroup_parent(), parts.runtime);
  if (it == held.containers.end()) return false;
  const bool runs = !it->second.exited;
  sandbox->pause = std::move(it->second.pidfd);
  held.containers.erase(it);
  return runs;
}

void RestorePod(const records::Pod& record, Held& held, const ServiceParts& parts) {
  auto pod = std::make_shared<Pod>();
  pod->id = record.id();
  if (!pod->config.ParseFromString(record.config())) return;
  pod->name = PodName(pod->config.metadata());
  pod->runtime_handler = record.runtime_handler();
  pod->created_at = record.created_at();
  pod->ips.assign(record.ips().begin(), record.ips().end());
  pod->network_record = record.network();
  if (!record.selinux_level().empty())
    pod->selinux_level = parts.pods->levels().Take(record.selinux_level());
  pod->state = static_cast<PodState>(record.state());
  pod->made_parent = record.made_parent();
  parts.runtime.cgroups->AdoptParent(pod->made_parent, pod->config.linux().cgroup_parent());
  pod->updated = record.has_resources();
  pod->overhead = pod->config.linux().overhead();
  pod->resources = pod->config.linux().resources();
  if (pod->updated && (!pod->overhead.ParseFromString(record.overhead()) ||
                       !pod->resources.ParseFromString(record.resources())))
    return;
  const bool live = pod->state == PodState::kReady || pod->state == PodState::kStopping;
  if (live && !pod->network_record.empty()) {
    const Status adopted = parts.network->Adopt(pod->id, pod->network_record);
    if (!adopted.ok())
      LogWarning("adopting a pod's network", {{"pod", pod->id}, {"error", adopted.ToString()}});
  }
  if (const auto it = held.pods.find(pod->id); live && it != held.pods.end()) {
    auto sandbox = std::make_shared<runtime::PodSandbox>();
    sandbox->net = std::move(it->second.net);
    sandbox->ipc = std::move(it->second.ipc);
    sandbox->uts = std::move(it->second.uts);
    sandbox->shm = std::move(it->second.shm);
    sandbox->files = std::move(it->second.files);
    sandbox->user = std::move(it->second.user);
    if (!RestorePause(*pod, held, parts, sandbox.get())) pod->state = PodState::kStopping;
    pod->sandbox = std::move(sandbox);
    held.pods.erase(it);
  } else if (live) {
    // Daemon and keeper died together: nothing holds its namespaces any more. Its next stop does
    // the rest.
    pod->state = PodState::kStopping;
  }
  parts.pods->names().Take(pod->name, pod->id);
  parts.pods->Add(pod);
}

std::shared_ptr<Container> ContainerOf(const records::Container& record) {
  auto container = std::make_shared<Container>();
  container->id = record.id();
  container->pod_id = record.pod_id();
  if (!container->config.ParseFromString(record.config())) return nullptr;
  container->name = ContainerName(record.pod_id(), container->config.metadata());
  container->resources = container->config.linux().resources();
  container->updated = record.has_resources();
  if (container->updated && !container->resources.ParseFromString(record.resources()))
    return nullptr;
  container->image = record.image();
  container->volume_images.assign(record.volume_images().begin(), record.volume_images().end());
  container->cdi_edits = record.cdi_edits();
  container->seccomp_source = record.seccomp_source();
  container->log_path = record.log_path();
  container->created_at = record.created_at();
  container->started_at = record.started_at();
  container->finished_at = record.finished_at();
  container->exit_code = record.exit_code();
  container->reason = record.reason();
  container->message = record.message();
  container->pid = record.pid();
  container->identity = {
      record.uid(), record.gid(), {record.groups().begin(), record.groups().end()}, record.home()};
  container->state = static_cast<ContainerState>(record.state());
  return container;
}

void FinishOciStart(const Container& container, const ServiceParts& parts) {
  const auto pod = parts.pods->FindPod(container.pod_id);
  if (!pod.ok()) return;
  const auto handler = parts.handlers->Find((*pod)->runtime_handler);
  if (!handler.ok() || !(*handler)->oci) return;
  const runtime::OciRuntime* oci = (*handler)->oci.get();
  const runtime::RuntimeContext context = parts.runtime;
  parts.janitor->Queue(absl::StrCat("start of ", container.id), [oci, context, id = container.id] {
    (void)oci->Resume(id, context);
    return absl::OkStatus();
  });
}

// The keeper's word on a container that the journal calls created or running.
void Reconcile(Container& container, Held& held, const ServiceParts& parts,
               RecoveryReport* report) {
  const auto it = held.containers.find(container.id);
  if (it == held.containers.end()) {
    if (container.state != ContainerState::kRunning) return;
    container.state = ContainerState::kExited;
    container.finished_at = RealtimeNanos();
    container.exit_code = 255;
    container.reason = "Unknown";
    ++report->exited_unseen;
    return;
  }
  keeper::HeldContainer one = std::move(it->second);
  held.containers.erase(it);
  if (container.state == ContainerState::kExited) {
    parts.runtime.keeper->AckExit(container.id);
    return;
  }
  // Launched just before the daemon died: the start was never recorded, but it happened. (An
  // external runtime may still have to be told to start what it made: once too often does no harm.)
  if (container.state == ContainerState::kCreated) FinishOciStart(container, parts);
  container.state = ContainerState::kRunning;
  container.pid = one.pid;
  container.started_at = one.started_nanos;
  container.pidfd = std::make_shared<UniqueFd>(std::move(one.pidfd));
  container.stdin_write = std::move(one.stdin_write);
  if (container.cgroup && parts.runtime.left_groups)
    parts.runtime.left_groups->TakeOver(container.cgroup->v2_fd());
  if (one.exited) parts.exits->Post(one.exit);
}

void OpenResources(Container& container, const std::string& parent, const ServiceParts& parts) {
  if (auto cgroup = parts.runtime.cgroups->Open(parent, container.id); cgroup.ok()) {
    container.cgroup = std::move(*cgroup);
  }
  container.image_pin = PinAgain(*parts.images, container.image);
  PinVolumesAgain(*parts.images, &container);
}

void RestoreContainer(const records::Container& record, Held& held, const ServiceParts& parts,
                      RecoveryReport* report) {
  const auto pod = parts.pods->FindPod(record.pod_id());
  std::shared_ptr<Container> container = ContainerOf(record);
  if (!container || !pod.ok() || container->state == ContainerState::kRemoving) {
    QueueDestroy(*parts.janitor, *parts.journal, parts.runtime, record.id(),
                 record.cgroup_parent());
    return;
  }
  container->log_directory = (*pod)->config.log_directory();
  container->stop_signal = StopSignalOf(container->config, ImageOf(container->image)).value_or(15);
  if (auto spec = SpecOf(**pod, *container, parts); spec.ok()) {
    container->spec = *spec;
  } else {
    LogWarning("container of an older configuration",
               {{"container", record.id()}, {"error", spec.status().ToString()}});
    auto bare = std::make_shared<runtime::ContainerSpec>();
    bare->id = record.id();
    bare->cgroup_parent = record.cgroup_parent();
    container->spec = std::move(bare);
  }
  OpenResources(*container, record.cgroup_parent(), parts);
  Reconcile(*container, held, parts, report);
  (*pod)->containers.push_back(container);
  parts.pods->names().Take(container->name, container->id);
  parts.pods->Add(container);
  if (const Status recorded = parts.journal->Append(RecordOf(*container)); !recorded.ok()) {
    LogError("recording a recovered container",
             {{"container", container->id}, {"error", recorded.ToString()}});
  }
}

std::vector<std::string> NamesIn(const std::string& path) {
  const auto dir = OpenDir(path);
  return dir.ok() ? ListDir(dir->get()).value_or(std::vector<std::string>{})
                  : std::vector<std::string>{};
}

// Daemons with folders of their own may share a parent cgroup: of what stands below it, ours are
// ids that the journal has ever named, that the keeper holds, or that have their folder here.
std::set<std::string> OurIds(const JournalReplay& replay, const Held& held,
                             const ServiceParts& parts, const std::string& state_dir) {
  std::set<std::string> ids;
  for (const records::Record& record : replay.records) {
    ids.insert({record.pod().id(), record.container().id(), record.removed_pod(),
                record.removed_container()});
  }
  for (const auto& [id, pod] : held.pods) ids.insert(id);
  for (const auto& [id, container] : held.containers) ids.insert({id, runtime::PodOfPause(id)});
  for (const std::string& dir : {parts.runtime.containers_dir, state_dir + "/sandboxes"}) {
    for (const std::string& name : NamesIn(dir)) ids.insert(name);
  }
  return ids;
}

// What carries an id of ours that no record knows: made, and never recorded.
int Sweep(const JournalReplay& replay, const FoldedRecords& folded, Held& held,
          const ServiceParts& parts, const std::string& state_dir) {
  const std::set<std::string> ours = OurIds(replay, held, parts, state_dir);
  std::map<std::string, std::string> unknown;  // id -> cgroup parent
  for (auto& [id, pod] : held.pods) parts.runtime.keeper->Drop(id);
  for (auto& [id, container] : held.containers) unknown[id] = "";
  std::set<std::string> parents = {""};
  // Of a live pod: its pause.
  std::set<std::string> known;
  for (const auto& pod : parts.pods->Pods()) {
    parents.insert(pod->config.linux().cgroup_parent());
    if (pod->pause_cgroup) known.insert(pod->id);
  }
  for (const records::Record& record : replay.records) {
    if (record.has_container()) parents.insert(record.container().cgroup_parent());
  }
  for (const std::string& parent : parents) {
    const auto paths = parts.runtime.cgroups->ListIds(parent);
    if (!paths.ok()) continue;
    for (const std::string& path : *paths) {
      const std::string id = path.substr(path.rfind('/') + 1);
      if (ours.count(id) == 0) continue;
      if (folded.containers.count(id) + known.count(id) == 0) unknown[id] = parent;
    }
  }
  for (const std::string& dir : {parts.runtime.containers_dir, parts.runtime.oci_dir}) {
    for (const std::string& id : NamesIn(dir)) {
      if (IsId(id) && folded.containers.count(id) == 0) unknown.emplace(id, "");
    }
  }
  for (const auto& [id, parent] : unknown) {
    parts.runtime.keeper->Drop(id);
    QueueDestroy(*parts.janitor, *parts.journal, parts.runtime, id, parent);
  }
  return static_cast<int>(unknown.size() + held.pods.size());
}

}  // namespace

StatusOr<RecoveryReport> Recover(const JournalReplay& replay, const ServiceParts& parts,
                                 const std::string& state_dir) {
  RecoveryReport report;
  const FoldedRecords folded = FoldRecords(replay.records);
  ASSIGN_OR_RETURN(Held held, AskKeeper(*parts.runtime.keeper));
  for (const auto& [id, record] : folded.pods) RestorePod(record, held, parts);
  for (const auto& [id, record] : folded.containers) RestoreContainer(record, held, parts, &report);
  for (const auto& container : parts.pods->Containers()) {
    if (const auto target = parts.pods->FindContainer(container->spec->pid_target); target.ok())
      (*target)->joined = true;
  }
  RETURN_IF_ERROR(parts.network->Sweep());
  // Not before every container holds its own: its image may have been removed long ago.
  if (const Status dropped = parts.images->DropUnused(); !dropped.ok())
    LogWarning("removing unused layers", {{"error", dropped.ToString()}});
  report.swept = Sweep(replay, folded, held, parts, state_dir);
  report.pods = static_cast<int>(parts.pods->Pods().size());
  report.containers = static_cast<int>(parts.pods->Containers().size());
  return report;
}

}  // namespace crisp::cri
