// ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics.
#include "cri/service/encode_all.h"
#include "cri/service/metric_table.h"
#include "cri/service/runtime_service.h"
#include "cri/service/stream_batches.h"
#include "runtime/stats/host_facts.h"

namespace crisp::cri {
namespace {

using runtime::CgroupDetails;
using runtime::CgroupUsage;
using runtime::kNoLimit;

constexpr uint64_t kNanosPerSecond = 1'000'000'000;

uint64_t Seconds(uint64_t nanos) { return nanos / kNanosPerSecond; }

// What a container is called and was promised, taken out from under its lock.
struct ContainerFacts {
  MetricLabels labels;
  v1::LinuxContainerResources resources;
  int64_t started_at = 0;
  pid_t pid = 0;
};

ContainerFacts FactsOf(const Container& container, const v1::PodSandboxMetadata& pod) {
  const std::lock_guard<std::mutex> lock(container.mu);
  ContainerFacts facts;
  const v1::ImageSpec& image = container.config.image();
  facts.labels = {
      pod.name(),
      pod.namespace_(),
      container.config.metadata().name(),
      container.cgroup ? container.cgroup->path() : "",
      image.user_specified_image().empty() ? image.image() : image.user_specified_image(),
      container.id};
  facts.resources = container.config.linux().resources();
  facts.started_at = container.started_at;
  facts.pid = container.pid;
  return facts;
}

void AddCpu(const CgroupUsage& usage, const CgroupDetails& details, MetricWriter* out) {
  out->Add(MetricId::kCpuUsage, Seconds(usage.cpu_nanos), {"total"});
  out->Add(MetricId::kCpuUser, Seconds(details.user_nanos));
  out->Add(MetricId::kCpuSystem, Seconds(details.system_nanos));
  out->Add(MetricId::kCpuPeriods, details.periods);
  out->Add(MetricId::kCpuThrottledPeriods, details.throttled_periods);
  out->Add(MetricId::kCpuThrottledSeconds, Seconds(details.throttled_nanos));
}

void AddMemory(const CgroupUsage& usage, const CgroupDetails& details, MetricWriter* out) {
  out->Add(MetricId::kMemoryCache, usage.cache_bytes);
  out->Add(MetricId::kMemoryFailcnt, details.memory_failures);
  out->Add(MetricId::kMemoryKernel, details.memory_kernel);
  out->Add(MetricId::kMemoryMapped, usage.mapped_bytes);
  out->Add(MetricId::kMemoryMaxUsage, details.memory_peak);
  out->Add(MetricId::kMemoryRss, usage.rss_bytes);
  out->Add(MetricId::kMemorySwap, usage.swap_bytes);
  out->Add(MetricId::kMemoryUsage, usage.memory_bytes);
  out->Add(MetricId::kMemoryWorkingSet, usage.working_set_bytes);
  out->Add(MetricId::kOomEvents, details.oom_kills);
  out->Add(MetricId::kMemoryFailures, usage.local_page_faults, {"pgfault", "container"});
  out->Add(MetricId::kMemoryFailures, usage.local_major_page_faults, {"pgmajfault", "container"});
  out->Add(MetricId::kMemoryFailures, usage.page_faults, {"pgfault", "hierarchy"});
  out->Add(MetricId::kMemoryFailures, usage.major_page_faults, {"pgmajfault", "hierarchy"});
}

void AddPressure(const std::optional<runtime::Psi>& psi, MetricId waiting, MetricId stalled,
                 MetricWriter* out) {
  if (!psi) return;
  out->Add(waiting, Seconds(psi->some.total_nanos));
  out->Add(stalled, Seconds(psi->full.total_nanos));
}

void AddIo(const std::vector<runtime::DeviceIo>& all, const std::string& own_device,
           MetricWriter* out) {
  for (const runtime::DeviceIo& io : all) {
    const std::string major = absl::StrCat(io.major), minor = absl::StrCat(io.minor);
    const std::string device = runtime::DeviceName(io.major, io.minor);
    out->Add(MetricId::kBlkioDeviceUsage, io.read_bytes, {device, major, minor, "Read"});
    out->Add(MetricId::kBlkioDeviceUsage, io.write_bytes, {device, major, minor, "Write"});
    out->Add(MetricId::kFsReadsBytes, io.read_bytes, {device});
    out->Add(MetricId::kFsReads, io.reads, {device});
    out->Add(MetricId::kFsWritesBytes, io.write_bytes, {device});
    out->Add(MetricId::kFsWrites, io.writes, {device});
  }
  if (!all.empty()) return;
  // The kernel lists a device with its first access: until then there was none.
  for (const char* operation : {"Read", "Write"})
    out->Add(MetricId::kBlkioDeviceUsage, 0, {own_device, "0", "0", operation});
  for (const MetricId id :
       {MetricId::kFsReadsBytes, MetricId::kFsReads, MetricId::kFsWritesBytes, MetricId::kFsWrites})
    out->Add(id, 0, {own_device});
}

void AddFileSystem(const runtime::FileSystemFacts& layer_fs,
                   const std::optional<runtime::LayerSize>& layer, MetricWriter* out) {
  out->Add(MetricId::kFsInodesFree, layer_fs.inodes_free, {layer_fs.device});
  out->Add(MetricId::kFsInodesTotal, layer_fs.inodes, {layer_fs.device});
  out->Add(MetricId::kFsLimit, layer_fs.bytes, {layer_fs.device});
  if (layer) out->Add(MetricId::kFsUsage, layer->bytes, {layer_fs.device});
}

void AddHugePages(runtime::ContainerSource& source, const runtime::HugePages& sizes,
                  MetricWriter* out) {
  for (const std::string& size : sizes.sizes) {
    const auto usage = source.ReadHugePages(size);
    // Without the controller nothing is known, unless the host has no huge pages at all.
    if (!usage && sizes.any_reserved) continue;
    out->Add(MetricId::kHugetlbUsage, usage ? usage->bytes : 0, {size});
    out->Add(MetricId::kHugetlbMaxUsage, usage ? usage->peak : 0, {size});
  }
}

void AddTasks(runtime::CgroupFiles& files, const CgroupDetails& details,
              const ContainerFacts& facts, MetricWriter* out) {
  out->Add(MetricId::kFileDescriptors, details.file_descriptors);
  out->Add(MetricId::kProcesses, details.processes);
  out->Add(MetricId::kThreads, runtime::ReadTasks(files));
  out->Add(MetricId::kThreadsMax, details.tasks_limit == kNoLimit ? 0 : details.tasks_limit);
  if (const auto soft = runtime::SoftFileLimit(facts.pid))
    out->Add(MetricId::kUlimitsSoft, *soft, {"max_open_files"});
}

uint64_t Positive(int64_t value) { return value > 0 ? static_cast<uint64_t>(value) : 0; }

void AddSpec(const ContainerFacts& facts, MetricWriter* out) {
  const v1::LinuxContainerResources& r = facts.resources;
  out->Add(MetricId::kSpecCpuPeriod, r.cpu_period() > 0 ? Positive(r.cpu_period()) : 100'000);
  // As with cAdvisor there is none without a quota: 0 would mean no CPU at all.
  if (r.cpu_quota() > 0) out->Add(MetricId::kSpecCpuQuota, Positive(r.cpu_quota()));
  out->Add(MetricId::kSpecCpuShares, r.cpu_shares() > 0 ? Positive(r.cpu_shares()) : 1024);
  out->Add(MetricId::kSpecMemoryLimit, Positive(r.memory_limit_in_bytes()));
  out->Add(MetricId::kSpecMemoryReservation, 0);  // the CRI has none
  out->Add(MetricId::kSpecMemorySwapLimit, Positive(r.memory_swap_limit_in_bytes()));
  out->Add(MetricId::kStartTime, Seconds(Positive(facts.started_at)));
}

void AddInterfaces(const std::vector<runtime::InterfaceUsage>& all, MetricWriter* out) {
  for (const runtime::InterfaceUsage& one : all) {
    out->Add(MetricId::kNetRxBytes, one.rx_bytes, {one.name});
    out->Add(MetricId::kNetRxErrors, one.rx_errors, {one.name});
    out->Add(MetricId::kNetRxDropped, one.rx_dropped, {one.name});
    out->Add(MetricId::kNetRxPackets, one.rx_packets, {one.name});
    out->Add(MetricId::kNetTxBytes, one.tx_bytes, {one.name});
    out->Add(MetricId::kNetTxErrors, one.tx_errors, {one.name});
    out->Add(MetricId::kNetTxDropped, one.tx_dropped, {one.name});
    out->Add(MetricId::kNetTxPackets, one.tx_packets, {one.name});
  }
}

// What is the same for all containers of one answer.
struct HostFacts {
  runtime::FileSystemFacts layer_fs;
  runtime::HugePages huge_pages;
};

std::string ContainerMetricsOf(const StatsTarget& target, const v1::PodSandboxMetadata& pod,
                               const HostFacts& host, StatsReader& reader) {
  runtime::CgroupFiles& files = target.source->files;
  const ContainerFacts facts = FactsOf(*target.container, pod);
  const CgroupUsage usage = runtime::ReadUsage(files);
  const CgroupDetails details = runtime::ReadDetails(files, usage);
  MetricWriter out(facts.labels);
  AddCpu(usage, details, &out);
  AddMemory(usage, details, &out);
  AddPressure(usage.cpu_psi, MetricId::kPressureCpuWaiting, MetricId::kPressureCpuStalled, &out);
  AddPressure(usage.io_psi, MetricId::kPressureIoWaiting, MetricId::kPressureIoStalled, &out);
  AddPressure(usage.memory_psi, MetricId::kPressureMemoryWaiting, MetricId::kPressureMemoryStalled,
              &out);
  AddIo(details.io, host.layer_fs.device, &out);
  AddFileSystem(host.layer_fs, reader.layers().Size(target.source->layer), &out);
  AddHugePages(*target.source, host.huge_pages, &out);
  AddTasks(files, details, facts, &out);
  AddSpec(facts, &out);
  out.Add(MetricId::kLastSeen, Seconds(Positive(usage.time_nanos)));
  return EncodedContainerMetrics(target.container->id, out);
}

std::string PodMetricsOf(const PodStatsTarget& target, const HostFacts& host, StatsReader& reader) {
  const v1::PodSandboxMetadata& metadata = target.pod->config.metadata();
  MetricWriter out({metadata.name(), metadata.namespace_(), "",
                    target.pod->config.linux().cgroup_parent(), "", target.pod->id});
  AddInterfaces(target.source->net.Interfaces(), &out);
  if (const auto sockets = target.source->net.Sockets()) out.Add(MetricId::kSockets, *sockets);
  std::vector<std::string> containers;
  for (const StatsTarget& one : target.containers)
    containers.push_back(ContainerMetricsOf(one, metadata, host, reader));
  return EncodedPodMetrics(target.pod->id, out, containers);
}

}  // namespace

std::vector<std::string> RuntimeService::CollectMetrics() {
  const HostFacts host{runtime::FileSystemOf(parts_.runtime.containers_dir),
                       runtime::ReadHugePageSizes()};
  std::vector<PodStatsTarget> targets;
  for (const auto& pod : parts_.pods->Pods()) {
    PodStatsTarget target = stats_.Target(pod);
    if (target.source) targets.push_back(std::move(target));
  }
  StatsReader::OpenNetworks(targets);
  return EncodeAll(parts_.runtime.side, targets, [&](const PodStatsTarget& target) {
    return PodMetricsOf(target, host, stats_);
  });
}

Status RuntimeService::ListMetricDescriptors(const v1::ListMetricDescriptorsRequest&,
                                             v1::ListMetricDescriptorsResponse* response,
                                             CallContext&) {
  FillDescriptors(response);
  return absl::OkStatus();
}

Status RuntimeService::ListPodSandboxMetrics(const v1::ListPodSandboxMetricsRequest&,
                                             v1::ListPodSandboxMetricsResponse* response,
                                             CallContext&) {
  for (std::string& bytes : CollectMetrics())
    AppendEncoded(response, v1::ListPodSandboxMetricsResponse::kPodMetricsFieldNumber,
                  std::move(bytes));
  return absl::OkStatus();
}

Status RuntimeService::StreamPodSandboxMetrics(
    const v1::StreamPodSandboxMetricsRequest&,
    StreamWriter<v1::StreamPodSandboxMetricsResponse>& writer, CallContext&) {
  return WriteBatches(v1::StreamPodSandboxMetricsResponse::kPodSandboxMetricsFieldNumber,
                      CollectMetrics(), writer);
}

}  // namespace crisp::cri
