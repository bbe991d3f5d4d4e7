// Every RPC of CRI v1 (k8s.io/cri-api v0.37.2), once: 37 of the runtime, 6 of the image service.
// A row is UNARY|STREAM(rpc, C++ method, request, response). Only Status has another method name:
// a member called Status would hide the type crisp::Status in every handler.
#pragma once

// clang-format off
#define CRISP_RUNTIME_RPCS(UNARY, STREAM)                                                         \
  UNARY(Version, Version, VersionRequest, VersionResponse)                                        \
  UNARY(RunPodSandbox, RunPodSandbox, RunPodSandboxRequest, RunPodSandboxResponse)                \
  UNARY(StopPodSandbox, StopPodSandbox, StopPodSandboxRequest, StopPodSandboxResponse)            \
  UNARY(RemovePodSandbox, RemovePodSandbox, RemovePodSandboxRequest, RemovePodSandboxResponse)    \
  UNARY(PodSandboxStatus, PodSandboxStatus, PodSandboxStatusRequest, PodSandboxStatusResponse)    \
  UNARY(ListPodSandbox, ListPodSandbox, ListPodSandboxRequest, ListPodSandboxResponse)            \
  STREAM(StreamPodSandboxes, StreamPodSandboxes,                                                  \
         StreamPodSandboxesRequest, StreamPodSandboxesResponse)                                   \
  UNARY(CreateContainer, CreateContainer, CreateContainerRequest, CreateContainerResponse)        \
  UNARY(StartContainer, StartContainer, StartContainerRequest, StartContainerResponse)            \
  UNARY(StopContainer, StopContainer, StopContainerRequest, StopContainerResponse)                \
  UNARY(RemoveContainer, RemoveContainer, RemoveContainerRequest, RemoveContainerResponse)        \
  UNARY(ListContainers, ListContainers, ListContainersRequest, ListContainersResponse)            \
  STREAM(StreamContainers, StreamContainers, StreamContainersRequest, StreamContainersResponse)   \
  UNARY(ContainerStatus, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse)        \
  UNARY(UpdateContainerResources, UpdateContainerResources,                                       \
        UpdateContainerResourcesRequest, UpdateContainerResourcesResponse)                        \
  UNARY(ReopenContainerLog, ReopenContainerLog,                                                   \
        ReopenContainerLogRequest, ReopenContainerLogResponse)                                    \
  UNARY(ExecSync, ExecSync, ExecSyncRequest, ExecSyncResponse)                                    \
  UNARY(Exec, Exec, ExecRequest, ExecResponse)                                                    \
  UNARY(Attach, Attach, AttachRequest, AttachResponse)                                            \
  UNARY(PortForward, PortForward, PortForwardRequest, PortForwardResponse)                        \
  UNARY(ContainerStats, ContainerStats, ContainerStatsRequest, ContainerStatsResponse)            \
  UNARY(ListContainerStats, ListContainerStats,                                                   \
        ListContainerStatsRequest, ListContainerStatsResponse)                                    \
  STREAM(StreamContainerStats, StreamContainerStats,                                              \
         StreamContainerStatsRequest, StreamContainerStatsResponse)                               \
  UNARY(PodSandboxStats, PodSandboxStats, PodSandboxStatsRequest, PodSandboxStatsResponse)        \
  UNARY(ListPodSandboxStats, ListPodSandboxStats,                                                 \
        ListPodSandboxStatsRequest, ListPodSandboxStatsResponse)                                  \
  STREAM(StreamPodSandboxStats, StreamPodSandboxStats,                                            \
         StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse)                             \
  UNARY(UpdateRuntimeConfig, UpdateRuntimeConfig,                                                 \
        UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse)                                  \
  UNARY(Status, RuntimeStatus, StatusRequest, StatusResponse)                                     \
  UNARY(CheckpointContainer, CheckpointContainer,                                                 \
        CheckpointContainerRequest, CheckpointContainerResponse)                                  \
  UNARY(CheckpointPod, CheckpointPod, CheckpointPodRequest, CheckpointPodResponse)                \
  UNARY(RestorePod, RestorePod, RestorePodRequest, RestorePodResponse)                            \
  STREAM(GetContainerEvents, GetContainerEvents, GetEventsRequest, ContainerEventResponse)        \
  UNARY(ListMetricDescriptors, ListMetricDescriptors,                                             \
        ListMetricDescriptorsRequest, ListMetricDescriptorsResponse)                              \
  UNARY(ListPodSandboxMetrics, ListPodSandboxMetrics,                                             \
        ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse)                              \
  STREAM(StreamPodSandboxMetrics, StreamPodSandboxMetrics,                                        \
         StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse)                         \
  UNARY(RuntimeConfig, RuntimeConfig, RuntimeConfigRequest, RuntimeConfigResponse)                \
  UNARY(UpdatePodSandboxResources, UpdatePodSandboxResources,                                     \
        UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse)

#define CRISP_IMAGE_RPCS(UNARY, STREAM)                                                           \
  UNARY(ListImages, ListImages, ListImagesRequest, ListImagesResponse)                            \
  STREAM(StreamImages, StreamImages, StreamImagesRequest, StreamImagesResponse)                   \
  UNARY(ImageStatus, ImageStatus, ImageStatusRequest, ImageStatusResponse)                        \
  UNARY(PullImage, PullImage, PullImageRequest, PullImageResponse)                                \
  UNARY(RemoveImage, RemoveImage, RemoveImageRequest, RemoveImageResponse)                        \
  UNARY(ImageFsInfo, ImageFsInfo, ImageFsInfoRequest, ImageFsInfoResponse)
// clang-format on
