// The RuntimeService: one method per CRI verb, each in the file of its name. This header is the
// index.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cni/pod_network.h"
#include "cri/api/call_log.h"
#include "cri/api/services.h"
#include "cri/pods/exit_board.h"
#include "cri/pods/handlers.h"
#include "cri/pods/janitor.h"
#include "cri/pods/journal.h"
#include "cri/pods/pod_store.h"
#include "cri/service/events.h"
#include "cri/service/stats_reader.h"
#include "cri/streaming/urls.h"
#include "imageservice/image_service.h"

namespace crisp::cri {

struct ServiceOptions {
  std::string state_dir, root_dir;
  std::string sandbox_image;  // reported to kubeadm; no pause process is ever started
  uint32_t max_log_line = 16384;
  uint64_t log_file_bytes = 0, log_rate_bytes = 0;  // 0: no limit
  int exec_drain_ms = 100;
  std::vector<std::string> cdi_dirs;  // a later one beats an earlier one
  std::string version;
};

// What the daemon owns and the verbs use; all of it outlives the service.
struct ServiceParts {
  PodStore* pods = nullptr;
  Journal* journal = nullptr;
  Janitor* janitor = nullptr;
  ExitBoard* exits = nullptr;
  image::ImageService* images = nullptr;
  cni::PodNetwork* network = nullptr;
  CallLog* calls = nullptr;
  const Handlers* handlers = nullptr;
  runtime::RuntimeContext runtime;
  streaming::StreamUrls* urls = nullptr;  // Exec, Attach and PortForward register there
};

class RuntimeService : public RuntimeHandler {
 public:
  RuntimeService(ServiceOptions options, ServiceParts parts)
      : options_(std::move(options)),
        parts_(parts),
        // ImageFsInfo gives the same mount point.
        stats_(parts_.runtime.containers_dir, options_.root_dir + "/images") {}

  // node.cc
  Status Version(const v1::VersionRequest&, v1::VersionResponse*, CallContext&) override;
  Status RuntimeStatus(const v1::StatusRequest&, v1::StatusResponse*, CallContext&) override;
  Status RuntimeConfig(const v1::RuntimeConfigRequest&, v1::RuntimeConfigResponse*,
                       CallContext&) override;
  Status UpdateRuntimeConfig(const v1::UpdateRuntimeConfigRequest&,
                             v1::UpdateRuntimeConfigResponse*, CallContext&) override;
  // sandbox_run.cc, sandbox_stop.cc, sandbox_remove.cc, sandbox_query.cc
  Status RunPodSandbox(const v1::RunPodSandboxRequest&, v1::RunPodSandboxResponse*,
                       CallContext&) override;
  Status StopPodSandbox(const v1::StopPodSandboxRequest&, v1::StopPodSandboxResponse*,
                        CallContext&) override;
  Status RemovePodSandbox(const v1::RemovePodSandboxRequest&, v1::RemovePodSandboxResponse*,
                          CallContext&) override;
  Status PodSandboxStatus(const v1::PodSandboxStatusRequest&, v1::PodSandboxStatusResponse*,
                          CallContext&) override;
  Status ListPodSandbox(const v1::ListPodSandboxRequest&, v1::ListPodSandboxResponse*,
                        CallContext&) override;
  Status StreamPodSandboxes(const v1::StreamPodSandboxesRequest&,
                            StreamWriter<v1::StreamPodSandboxesResponse>&, CallContext&) override;
  // container_create.cc, container_start.cc, container_stop.cc, container_remove.cc,
  // container_query.cc
  Status CreateContainer(const v1::CreateContainerRequest&, v1::CreateContainerResponse*,
                         CallContext&) override;
  Status StartContainer(const v1::StartContainerRequest&, v1::StartContainerResponse*,
                        CallContext&) override;
  Status StopContainer(const v1::StopContainerRequest&, v1::StopContainerResponse*,
                       CallContext&) override;
  Status RemoveContainer(const v1::RemoveContainerRequest&, v1::RemoveContainerResponse*,
                         CallContext&) override;
  Status ContainerStatus(const v1::ContainerStatusRequest&, v1::ContainerStatusResponse*,
                         CallContext&) override;
  Status ListContainers(const v1::ListContainersRequest&, v1::ListContainersResponse*,
                        CallContext&) override;
  Status StreamContainers(const v1::StreamContainersRequest&,
                          StreamWriter<v1::StreamContainersResponse>&, CallContext&) override;
  // stats_container.cc, stats_pod.cc
  Status ContainerStats(const v1::ContainerStatsRequest&, v1::ContainerStatsResponse*,
                        CallContext&) override;
  Status ListContainerStats(const v1::ListContainerStatsRequest&, v1::ListContainerStatsResponse*,
                            CallContext&) override;
  Status StreamContainerStats(const v1::StreamContainerStatsRequest&,
                              StreamWriter<v1::StreamContainerStatsResponse>&,
                              CallContext&) override;
  Status PodSandboxStats(const v1::PodSandboxStatsRequest&, v1::PodSandboxStatsResponse*,
                         CallContext&) override;
  Status ListPodSandboxStats(const v1::ListPodSandboxStatsRequest&,
                             v1::ListPodSandboxStatsResponse*, CallContext&) override;
  Status StreamPodSandboxStats(const v1::StreamPodSandboxStatsRequest&,
                               StreamWriter<v1::StreamPodSandboxStatsResponse>&,
                               CallContext&) override;
  // container_update.cc, sandbox_update.cc
  Status UpdateContainerResources(const v1::UpdateContainerResourcesRequest&,
                                  v1::UpdateContainerResourcesResponse*, CallContext&) override;
  Status UpdatePodSandboxResources(const v1::UpdatePodSandboxResourcesRequest&,
                                   v1::UpdatePodSandboxResourcesResponse*, CallContext&) override;
  // events.h
  Status GetContainerEvents(const v1::GetEventsRequest&,
                            StreamWriter<v1::ContainerEventResponse>& writer,
                            CallContext& call) override {
    return events_.Serve(writer, call);
  }
  // metrics_list.cc
  Status ListMetricDescriptors(const v1::ListMetricDescriptorsRequest&,
                               v1::ListMetricDescriptorsResponse*, CallContext&) override;
  Status ListPodSandboxMetrics(const v1::ListPodSandboxMetricsRequest&,
                               v1::ListPodSandboxMetricsResponse*, CallContext&) override;
  Status StreamPodSandboxMetrics(const v1::StreamPodSandboxMetricsRequest&,
                                 StreamWriter<v1::StreamPodSandboxMetricsResponse>&,
                                 CallContext&) override;
  // container_exec.cc, container_log.cc
  Status ExecSync(const v1::ExecSyncRequest&, v1::ExecSyncResponse*, CallContext&) override;
  Status ReopenContainerLog(const v1::ReopenContainerLogRequest&, v1::ReopenContainerLogResponse*,
                            CallContext&) override;

  // streams.cc
  Status Exec(const v1::ExecRequest&, v1::ExecResponse*, CallContext&) override;
  Status Attach(const v1::AttachRequest&, v1::AttachResponse*, CallContext&) override;
  Status PortForward(const v1::PortForwardRequest&, v1::PortForwardResponse*,
                     CallContext&) override;

  // container_exit.cc: a process that the keeper launched has ended. Called on the exit board's
  // thread. False: the id is no container (an exec).
  bool OnExit(const keeper::ExitEvent& event);
  // container_log.cc: counts what is known elsewhere, before somebody reads the metrics.
  void RefreshMetrics();

  // Ends the calls that would never end by themselves.
  void StopStreams() { events_.Close(); }

 private:
  StatusOr<std::shared_ptr<Pod>> MakePod(const v1::RunPodSandboxRequest& request,
                                         const std::string& id, runtime::PodSpec spec,
                                         std::shared_ptr<const std::string> level,
                                         CallContext& call);
  StatusOr<std::shared_ptr<Container>> MakeContainer(const v1::CreateContainerRequest& request,
                                                     const std::string& id, Pod& pod,
                                                     CallContext& call);
  Status Launch(Container& container, const Handler& handler, const runtime::PodSandbox& sandbox,
                CallContext& call);
  Status RemoveStopped(Container& container);
  void BeginPodGroup(Pod& pod);
  // sandbox_pause.cc: the first process of a shared pid namespace.
  Status BeginPause(Pod& pod, const runtime::IdMap& id_map, runtime::PodSandbox* sandbox);
  Status EndPause(Pod& pod, absl::Time deadline);
  bool OnPauseExit(const keeper::ExitEvent& event);
  void SendSignal(const Container& container, int signal);  // container_stop.cc
  std::vector<std::string> CollectMetrics();                // v1::PodSandboxMetrics, encoded
  // events.cc: for those who read GetContainerEvents. The object's lock is held by the caller.
  void NoteEvent(v1::ContainerEventType type, const Container& container);
  void NoteEvent(v1::ContainerEventType type, const Pod& pod);
  void CountDroppedLog(Container& container);

  ServiceOptions options_;
  ServiceParts parts_;
  StatsReader stats_;
  EventHub events_;
};

// container_start.cc: a program or path missing inside the container is not "container not found",
// which the kubelet takes for a removed object: NOT_FOUND becomes UNKNOWN, as the peers answer; the
// message stays.
Status LaunchError(const Status& status);

// container_stop.cc: SIGKILL to all of the container's processes, then waits for the exit. A
// container that never ran only lets go of its mounts. DEADLINE_EXCEEDED names it when a process
// does not die (D state).
Status KillContainer(Container& container, absl::Time deadline);

// container_remove.cc: durable removal of cgroup and upper directory, then of the journal's record.
void QueueDestroy(Janitor& janitor, Journal& journal, const runtime::RuntimeContext& context,
                  const std::string& id, const std::string& cgroup_parent);

// container_target.cc: the first process of the running container of this pod whose pid namespace
// another one asks to join.
StatusOr<std::shared_ptr<UniqueFd>> TargetProcess(const std::string& target_id,
                                                  const std::string& pod_id, const PodStore& pods);

// container_log.cc: opens the log below the pod's log directory, never through a link: regular, one
// link.
struct OpenedLog {
  UniqueFd fd;
  uint64_t offset = 0;
};
StatusOr<OpenedLog> OpenLog(const std::string& log_directory, const std::string& log_path);

// What the container took from its image, as the image service would give it.
image::ImageConfig ImageOf(const records::Image& record);

// Builds the container's spec again from what was recorded (start or exec after a restart of the
// daemon).
StatusOr<std::shared_ptr<const runtime::ContainerSpec>> SpecOf(const Pod& pod,
                                                               const Container& container,
                                                               const ServiceParts& parts);

// sandbox_query.cc, container_query.cc: CRI's view; the object's lock is held by the caller.
v1::PodSandboxState CriState(PodState state);
v1::ContainerState CriState(ContainerState state);
bool LabelsMatch(const google::protobuf::Map<std::string, std::string>& labels,
                 const google::protobuf::Map<std::string, std::string>& selector);
// "timing" of a verbose status: the steps of the calls that were about this object, as JSON.
std::string TimingJson(const CallLog& calls, const std::string& id);

}  // namespace crisp::cri
