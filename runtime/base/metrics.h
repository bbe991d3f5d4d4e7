// Counters and fixed-bucket histograms in Prometheus text form. With the logger the only
// process-wide object.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

// `labels` is the inside of the braces: method="RunPodSandbox",code="OK". Callers keep label sets
// small and fixed.
void CountMetric(absl::string_view name, absl::string_view labels = "", int64_t add = 1);
void SetGauge(absl::string_view name, absl::string_view labels, int64_t value);
void ObserveSeconds(absl::string_view name, absl::string_view labels, double seconds);

// The whole registry, names sorted.
std::string MetricsText();

}  // namespace crisp
