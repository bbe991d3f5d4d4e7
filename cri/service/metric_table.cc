#include "cri/service/metric_table.h"

#include <array>

namespace crisp::cri {
namespace {

struct MetricRow {
  const char* name;
  const char* help;
  v1::MetricType type;
  std::array<const char*, 4> labels;  // beyond the six that all have
};

constexpr const char* kCommonLabels[] = {"pod", "namespace", "container", "id", "image", "name"};

constexpr auto kCounter = v1::COUNTER;
constexpr auto kGauge = v1::GAUGE;

// In the order of MetricId, which is that of the names. Values are whole numbers: the CRI has no
// others, so seconds are rounded down.
constexpr MetricRow kRows[] = {
    {"container_blkio_device_usage_total",
     "Bytes read from and written to a block device.",
     kCounter,
     {"device", "major", "minor", "operation"}},
    {"container_cpu_cfs_periods_total", "Enforcement periods of the CPU quota that have passed.",
     kCounter},
    {"container_cpu_cfs_throttled_periods_total", "Periods in which the CPU quota was used up.",
     kCounter},
    {"container_cpu_cfs_throttled_seconds_total", "Time for which the container was throttled.",
     kCounter},
    {"container_cpu_system_seconds_total", "CPU time used in the kernel.", kCounter},
    {"container_cpu_usage_seconds_total", "CPU time used.", kCounter, {"cpu"}},
    {"container_cpu_user_seconds_total", "CPU time used in user mode.", kCounter},
    {"container_file_descriptors", "Open file descriptors of all processes.", kGauge},
    {"container_fs_inodes_free",
     "Free inodes of the file system of the writable layer.",
     kGauge,
     {"device"}},
    {"container_fs_inodes_total",
     "Inodes of the file system of the writable layer.",
     kGauge,
     {"device"}},
    {"container_fs_limit_bytes",
     "Size of the file system of the writable layer.",
     kGauge,
     {"device"}},
    {"container_fs_reads_bytes_total", "Bytes read from a block device.", kCounter, {"device"}},
    {"container_fs_reads_total", "Read operations on a block device.", kCounter, {"device"}},
    {"container_fs_usage_bytes",
     "Bytes that the container's writable layer takes.",
     kGauge,
     {"device"}},
    {"container_fs_writes_bytes_total", "Bytes written to a block device.", kCounter, {"device"}},
    {"container_fs_writes_total", "Write operations on a block device.", kCounter, {"device"}},
    {"container_hugetlb_max_usage_bytes",
     "Most memory in huge pages so far.",
     kGauge,
     {"pagesize"}},
    {"container_hugetlb_usage_bytes", "Memory in huge pages.", kGauge, {"pagesize"}},
    {"container_last_seen", "When the container was last seen, seconds of the epoch.", kGauge},
    {"container_memory_cache", "Page cache.", kGauge},
    {"container_memory_failcnt", "How often the memory limit was hit.", kCounter},
    {"container_memory_failures_total", "Page faults.", kCounter, {"failure_type", "scope"}},
    {"container_memory_kernel_usage", "Kernel memory.", kGauge},
    {"container_memory_mapped_file", "Mapped files in memory.", kGauge},
    {"container_memory_max_usage_bytes", "Most memory used so far.", kGauge},
    {"container_memory_rss", "Anonymous memory.", kGauge},
    {"container_memory_swap", "Swap used.", kGauge},
    {"container_memory_usage_bytes", "Memory used, with all of the page cache.", kGauge},
    {"container_memory_working_set_bytes", "Memory used without the inactive page cache.", kGauge},
    {"container_network_receive_bytes_total", "Bytes received.", kCounter, {"interface"}},
    {"container_network_receive_errors_total", "Errors while receiving.", kCounter, {"interface"}},
    {"container_network_receive_packets_dropped_total",
     "Packets dropped while receiving.",
     kCounter,
     {"interface"}},
    {"container_network_receive_packets_total", "Packets received.", kCounter, {"interface"}},
    {"container_network_transmit_bytes_total", "Bytes sent.", kCounter, {"interface"}},
    {"container_network_transmit_errors_total", "Errors while sending.", kCounter, {"interface"}},
    {"container_network_transmit_packets_dropped_total",
     "Packets dropped while sending.",
     kCounter,
     {"interface"}},
    {"container_network_transmit_packets_total", "Packets sent.", kCounter, {"interface"}},
    {"container_oom_events_total", "Processes killed for want of memory.", kCounter},
    {"container_pressure_cpu_stalled_seconds_total", "Time in which no task had a CPU.", kCounter},
    {"container_pressure_cpu_waiting_seconds_total", "Time in which a task waited for a CPU.",
     kCounter},
    {"container_pressure_io_stalled_seconds_total", "Time in which all tasks waited for I/O.",
     kCounter},
    {"container_pressure_io_waiting_seconds_total", "Time in which a task waited for I/O.",
     kCounter},
    {"container_pressure_memory_stalled_seconds_total",
     "Time in which all tasks waited for memory.", kCounter},
    {"container_pressure_memory_waiting_seconds_total", "Time in which a task waited for memory.",
     kCounter},
    {"container_processes", "Processes.", kGauge},
    {"container_sockets", "Open sockets in the pod's network namespace.", kGauge},
    {"container_spec_cpu_period", "CPU period in microseconds.", kGauge},
    {"container_spec_cpu_quota", "CPU quota in microseconds.", kGauge},
    {"container_spec_cpu_shares", "CPU shares.", kGauge},
    {"container_spec_memory_limit_bytes", "Memory limit; 0: none.", kGauge},
    {"container_spec_memory_reservation_limit_bytes", "Memory reservation; 0: none.", kGauge},
    {"container_spec_memory_swap_limit_bytes", "Limit of memory and swap together; 0: none.",
     kGauge},
    {"container_start_time_seconds", "Start of the container, seconds of the epoch.", kGauge},
    {"container_threads", "Threads.", kGauge},
    {"container_threads_max", "Most threads allowed; 0: no limit.", kGauge},
    {"container_ulimits_soft", "Soft limit of the container's first process.", kGauge, {"ulimit"}},
};
static_assert(std::size(kRows) == static_cast<size_t>(MetricId::kCount));

// Protobuf's wire format, as far as it is needed here.
constexpr uint32_t kVarint = 0, kLengthDelimited = 2;

void PutVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

void PutTag(int field, uint32_t type, std::string* out) {
  PutVarint(static_cast<uint32_t>(field) << 3 | type, out);
}

void PutBytes(int field, absl::string_view bytes, std::string* out) {
  PutTag(field, kLengthDelimited, out);
  PutVarint(bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

size_t BytesSize(absl::string_view bytes) {  // of a field with a number below 16
  return 1 + VarintSize(bytes.size()) + bytes.size();
}

// Both messages name it the same.
constexpr int kMetricsField = v1::ContainerMetrics::kMetricsFieldNumber;
static_assert(kMetricsField == v1::PodSandboxMetrics::kMetricsFieldNumber);

}  // namespace

void FillDescriptors(v1::ListMetricDescriptorsResponse* response) {
  for (const MetricRow& row : kRows) {
    v1::MetricDescriptor* descriptor = response->add_descriptors();
    descriptor->set_name(row.name);
    descriptor->set_help(row.help);
    for (const char* label : kCommonLabels) descriptor->add_label_keys(label);
    for (const char* label : row.labels)
      if (label != nullptr) descriptor->add_label_keys(label);
  }
}

MetricWriter::MetricWriter(const MetricLabels& labels) {
  constexpr size_t kUsual = 80;  // metrics of a container
  for (const std::string& value :
       {labels.pod, labels.namespace_name, labels.container, labels.id, labels.image, labels.name})
    PutBytes(v1::Metric::kLabelValuesFieldNumber, value, &labels_);
  bytes_.reserve(kUsual * (labels_.size() + 64));
}

void MetricWriter::Add(MetricId id, uint64_t value,
                       std::initializer_list<absl::string_view> extra) {
  const MetricRow& row = kRows[static_cast<size_t>(id)];
  const absl::string_view name = row.name;
  const size_t inner = value == 0 ? 0 : 1 + VarintSize(value);  // 0 is the default: no field
  size_t size = BytesSize(name) + (row.type == v1::COUNTER ? 0 : 2) + labels_.size() + 2 + inner;
  for (const absl::string_view label : extra) size += BytesSize(label);

  PutTag(kMetricsField, kLengthDelimited, &bytes_);
  PutVarint(size, &bytes_);
  PutBytes(v1::Metric::kNameFieldNumber, name, &bytes_);
  if (row.type != v1::COUNTER) {
    PutTag(v1::Metric::kMetricTypeFieldNumber, kVarint, &bytes_);
    PutVarint(row.type, &bytes_);
  }
  bytes_ += labels_;
  for (const absl::string_view label : extra)
    PutBytes(v1::Metric::kLabelValuesFieldNumber, label, &bytes_);
  PutTag(v1::Metric::kValueFieldNumber, kLengthDelimited, &bytes_);
  PutVarint(inner, &bytes_);
  if (inner == 0) return;
  PutTag(v1::UInt64Value::kValueFieldNumber, kVarint, &bytes_);
  PutVarint(value, &bytes_);
}

std::string EncodedContainerMetrics(const std::string& container_id, const MetricWriter& metrics) {
  std::string bytes;
  bytes.reserve(metrics.bytes().size() + container_id.size() + 8);
  PutBytes(v1::ContainerMetrics::kContainerIdFieldNumber, container_id, &bytes);
  bytes += metrics.bytes();
  return bytes;
}

std::string EncodedPodMetrics(const std::string& pod_id, const MetricWriter& metrics,
                              const std::vector<std::string>& containers) {
  std::string bytes;
  size_t size = pod_id.size() + metrics.bytes().size() + 16;
  for (const std::string& container : containers) size += container.size() + 16;
  bytes.reserve(size);
  PutBytes(v1::PodSandboxMetrics::kPodSandboxIdFieldNumber, pod_id, &bytes);
  bytes += metrics.bytes();
  for (const std::string& container : containers)
    PutBytes(v1::PodSandboxMetrics::kContainerMetricsFieldNumber, container, &bytes);
  return bytes;
}

}  // namespace crisp::cri
