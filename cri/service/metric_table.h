// The metrics of ListPodSandboxMetrics: the names that cAdvisor gave them, which dashboards use,
// and their encoding. docs/design/stats.md.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cri/api/cri.h"

namespace crisp::cri {

// In the order of the table in metric_table.cc.
enum class MetricId {
  kBlkioDeviceUsage,
  kCpuPeriods,
  kCpuThrottledPeriods,
  kCpuThrottledSeconds,
  kCpuSystem,
  kCpuUsage,
  kCpuUser,
  kFileDescriptors,
  kFsInodesFree,
  kFsInodesTotal,
  kFsLimit,
  kFsReadsBytes,
  kFsReads,
  kFsUsage,
  kFsWritesBytes,
  kFsWrites,
  kHugetlbMaxUsage,
  kHugetlbUsage,
  kLastSeen,
  kMemoryCache,
  kMemoryFailcnt,
  kMemoryFailures,
  kMemoryKernel,
  kMemoryMapped,
  kMemoryMaxUsage,
  kMemoryRss,
  kMemorySwap,
  kMemoryUsage,
  kMemoryWorkingSet,
  kNetRxBytes,
  kNetRxErrors,
  kNetRxDropped,
  kNetRxPackets,
  kNetTxBytes,
  kNetTxErrors,
  kNetTxDropped,
  kNetTxPackets,
  kOomEvents,
  kPressureCpuStalled,
  kPressureCpuWaiting,
  kPressureIoStalled,
  kPressureIoWaiting,
  kPressureMemoryStalled,
  kPressureMemoryWaiting,
  kProcesses,
  kSockets,
  kSpecCpuPeriod,
  kSpecCpuQuota,
  kSpecCpuShares,
  kSpecMemoryLimit,
  kSpecMemoryReservation,
  kSpecMemorySwapLimit,
  kStartTime,
  kThreads,
  kThreadsMax,
  kUlimitsSoft,
  kCount,
};

void FillDescriptors(v1::ListMetricDescriptorsResponse* response);

// Values of the labels that every metric has, in the order of MetricLabelKeys().
struct MetricLabels {
  std::string pod, namespace_name, container, id, image, name;
};

// Writes v1::Metric messages as elements of the field `metrics` of a container or a pod: by hand,
// because the labels, five sixths of the bytes, are the same for all of an object's metrics and
// 6,000 messages of ten strings each would take longer to build than all files to read.
class MetricWriter {
 public:
  explicit MetricWriter(const MetricLabels& labels);

  // `extra`: the values of the metric's own labels, as many as it has.
  void Add(MetricId id, uint64_t value, std::initializer_list<absl::string_view> extra = {});
  const std::string& bytes() const { return bytes_; }

 private:
  std::string labels_;  // encoded
  std::string bytes_;
};

// v1::ContainerMetrics and v1::PodSandboxMetrics of written metrics.
std::string EncodedContainerMetrics(const std::string& container_id, const MetricWriter& metrics);
std::string EncodedPodMetrics(const std::string& pod_id, const MetricWriter& metrics,
                              const std::vector<std::string>& containers);

}  // namespace crisp::cri
