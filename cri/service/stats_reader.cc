#include "cri/service/stats_reader.h"

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "cri/service/encoded_objects.h"
#include "runtime/base/files.h"
#include "runtime/base/stages.h"

namespace crisp::cri {
namespace {

using runtime::CgroupUsage;
using runtime::kNoLimit;

void FillPsi(const runtime::PsiLine& from, v1::PsiData* to) {
  to->set_total(from.total_nanos);
  to->set_avg10(from.avg10);
  to->set_avg60(from.avg60);
  to->set_avg300(from.avg300);
}

void FillPsi(const std::optional<runtime::Psi>& from, v1::PsiStats* to) {
  FillPsi(from->full, to->mutable_full());
  FillPsi(from->some, to->mutable_some());
}

void FillCpu(const CgroupUsage& usage, uint64_t rate, v1::CpuUsage* cpu) {
  cpu->set_timestamp(usage.time_nanos);
  cpu->mutable_usage_core_nano_seconds()->set_value(usage.cpu_nanos);
  cpu->mutable_usage_nano_cores()->set_value(rate);
  if (usage.cpu_psi) FillPsi(usage.cpu_psi, cpu->mutable_psi());
}

uint64_t Left(uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; }

void FillMemory(const CgroupUsage& usage, v1::MemoryUsage* memory) {
  memory->set_timestamp(usage.time_nanos);
  memory->mutable_working_set_bytes()->set_value(usage.working_set_bytes);
  memory->mutable_usage_bytes()->set_value(usage.memory_bytes);
  memory->mutable_rss_bytes()->set_value(usage.rss_bytes);
  memory->mutable_page_faults()->set_value(usage.page_faults);
  memory->mutable_major_page_faults()->set_value(usage.major_page_faults);
  if (usage.memory_limit != kNoLimit)
    memory->mutable_available_bytes()->set_value(Left(usage.memory_limit, usage.working_set_bytes));
  if (usage.memory_psi) FillPsi(usage.memory_psi, memory->mutable_psi());
}

void FillSwap(const CgroupUsage& usage, v1::SwapUsage* swap) {
  swap->set_timestamp(usage.time_nanos);
  swap->mutable_swap_usage_bytes()->set_value(usage.swap_bytes);
  if (usage.swap_limit != kNoLimit)
    swap->mutable_swap_available_bytes()->set_value(Left(usage.swap_limit, usage.swap_bytes));
}

void FillIo(const CgroupUsage& usage, v1::IoUsage* io) {
  io->set_timestamp(usage.time_nanos);
  FillPsi(usage.io_psi, io->mutable_psi());
}

void FillInterface(const runtime::InterfaceUsage& from, v1::NetworkInterfaceUsage* to) {
  to->set_name(from.name);
  to->mutable_rx_bytes()->set_value(from.rx_bytes);
  to->mutable_rx_errors()->set_value(from.rx_errors);
  to->mutable_tx_bytes()->set_value(from.tx_bytes);
  to->mutable_tx_errors()->set_value(from.tx_errors);
}

// CNI's name of the interface that carries the pod's address.
constexpr char kDefaultInterface[] = "eth0";

void FillNetwork(runtime::NetFiles& net, v1::NetworkUsage* network) {
  network->set_timestamp(RealtimeNanos());
  for (const runtime::InterfaceUsage& one : net.Interfaces()) {
    FillInterface(one, one.name == kDefaultInterface ? network->mutable_default_interface()
                                                     : network->add_interfaces());
  }
}

CgroupUsage Sum(const std::vector<CgroupUsage>& parts) {
  CgroupUsage sum;
  sum.time_nanos = RealtimeNanos();
  for (const CgroupUsage& part : parts) {
    sum.cpu_nanos += part.cpu_nanos;
    sum.memory_bytes += part.memory_bytes;
    sum.working_set_bytes += part.working_set_bytes;
    sum.rss_bytes += part.rss_bytes;
    sum.page_faults += part.page_faults;
    sum.major_page_faults += part.major_page_faults;
  }
  return sum;
}

}  // namespace

bool HasOwnCgroup(const v1::PodSandboxConfig& config) {
  const std::string& parent = config.linux().cgroup_parent();
  const std::string name = parent.substr(parent.rfind('/') + 1);
  const std::string& uid = config.metadata().uid();
  return absl::StrContains(name, absl::StrCat("pod", uid)) ||
         absl::StrContains(name, absl::StrCat("pod", absl::StrReplaceAll(uid, {{"-", "_"}})));
}

StatsTarget StatsReader::Target(const std::shared_ptr<Container>& container) {
  StatsTarget target;
  target.container = container;
  const std::lock_guard<std::mutex> lock(container->mu);
  target.head = EncodedStatsHead(*container);
  target.started_at = container->started_at;
  if (container->state != ContainerState::kRunning || !container->cgroup) return target;
  if (!container->stats) {
    container->stats = std::make_shared<runtime::ContainerSource>(
        container->cgroup, budget_, absl::StrCat(containers_dir_, "/", container->id, "/upper"));
  }
  target.source = container->stats;
  return target;
}

PodStatsTarget StatsReader::Target(const std::shared_ptr<Pod>& pod) {
  PodStatsTarget target;
  target.pod = pod;
  std::vector<std::shared_ptr<Container>> containers;
  {
    const std::lock_guard<std::mutex> lock(pod->mu);
    target.head = EncodedStatsHead(*pod);
    if (pod->state == PodState::kReady) {
      if (!pod->stats) pod->stats = std::make_shared<runtime::PodSource>();
      target.source = pod->stats;
      target.sandbox = pod->sandbox;
    }
    containers = pod->containers;
  }
  for (const auto& container : containers) {
    StatsTarget one = Target(container);
    if (one.source) target.containers.push_back(std::move(one));
  }
  if (!target.source || target.containers.empty() || !HasOwnCgroup(pod->config)) return target;
  const std::lock_guard<std::mutex> lock(target.source->mu);
  if (!target.source->own) {
    const std::lock_guard<std::mutex> container_lock(target.containers.front().container->mu);
    if (const auto& cgroup = target.containers.front().container->cgroup)
      target.source->own = std::make_shared<runtime::CgroupFiles>(cgroup, budget_, /*parent=*/true);
  }
  return target;
}

void StatsReader::OpenNetworks(const std::vector<PodStatsTarget>& pods) {
  std::vector<std::pair<int, runtime::NetFiles*>> wanted;
  for (const PodStatsTarget& one : pods) {
    if (one.source && one.sandbox && one.sandbox->net.valid() && !one.source->net.opened())
      wanted.emplace_back(one.sandbox->net.get(), &one.source->net);
  }
  runtime::OpenNetFiles(wanted);
}

void StatsReader::FillLayer(const StatsTarget& target, v1::ContainerStats* stats) {
  const auto size = layers_.Size(target.source->layer);
  if (!size) return;
  v1::FilesystemUsage* layer = stats->mutable_writable_layer();
  layer->set_timestamp(size->time_nanos);
  layer->mutable_fs_id()->set_mountpoint(mountpoint_);
  layer->mutable_used_bytes()->set_value(size->bytes);
  layer->mutable_inodes_used()->set_value(size->inodes);
}

std::string StatsReader::EncodeUsage(const StatsTarget& target, const CgroupUsage& usage) {
  v1::ContainerStats stats;
  const uint64_t rate =
      target.source->rate.Update(usage.cpu_nanos, usage.time_nanos, target.started_at);
  FillCpu(usage, rate, stats.mutable_cpu());
  FillMemory(usage, stats.mutable_memory());
  if (usage.has_swap) FillSwap(usage, stats.mutable_swap());
  if (usage.io_psi) FillIo(usage, stats.mutable_io());
  FillLayer(target, &stats);
  std::string bytes = target.head;
  stats.AppendToString(&bytes);
  return bytes;
}

std::string StatsReader::Encode(const StatsTarget& target) {
  if (!target.source) return target.head;
  return EncodeUsage(target, runtime::ReadUsage(target.source->files));
}

CgroupUsage StatsReader::UsageOf(const PodStatsTarget& target,
                                 const std::vector<CgroupUsage>& containers) const {
  std::shared_ptr<runtime::CgroupFiles> own;
  {
    const std::lock_guard<std::mutex> lock(target.source->mu);
    own = target.source->own;
  }
  return own ? runtime::ReadUsage(*own) : Sum(containers);
}

std::string StatsReader::Encode(const PodStatsTarget& target) {
  if (!target.source) return target.head;
  v1::PodSandboxStats stats;
  v1::LinuxPodSandboxStats* pod = stats.mutable_linux();
  std::vector<CgroupUsage> usages;
  uint64_t tasks = 0;
  for (const StatsTarget& one : target.containers) {
    usages.push_back(runtime::ReadUsage(one.source->files));
    tasks += runtime::ReadTasks(one.source->files);
    AppendEncoded(pod, v1::LinuxPodSandboxStats::kContainersFieldNumber,
                  EncodeUsage(one, usages.back()));
  }
  const CgroupUsage usage = UsageOf(target, usages);
  FillCpu(usage,
          target.source->rate.Update(usage.cpu_nanos, usage.time_nanos, target.pod->created_at),
          pod->mutable_cpu());
  FillMemory(usage, pod->mutable_memory());
  if (usage.io_psi) FillIo(usage, pod->mutable_io());
  pod->mutable_process()->set_timestamp(usage.time_nanos);
  pod->mutable_process()->mutable_process_count()->set_value(tasks);
  if (target.source->net.opened()) FillNetwork(target.source->net, pod->mutable_network());
  std::string bytes = target.head;
  stats.AppendToString(&bytes);
  return bytes;
}

}  // namespace crisp::cri
