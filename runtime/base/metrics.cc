#include "runtime/base/metrics.h"

#include <array>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"

namespace crisp {
namespace {

constexpr std::array<double, 14> kBounds = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                            0.02,   0.05,   0.1,    0.5,   1,     5,     30};

struct Histogram {
  std::array<int64_t, kBounds.size() + 1> buckets{};
  int64_t count = 0;
  double sum = 0;
};

struct Value {
  int64_t value = 0;
  bool gauge = false;
};

struct Registry {
  std::mutex mu;
  std::map<std::string, std::map<std::string, Value, std::less<>>, std::less<>> values;
  std::map<std::string, std::map<std::string, Histogram, std::less<>>, std::less<>> histograms;
};

Registry& TheRegistry() {
  static Registry* registry =
      new Registry;  // never destroyed: threads may count until the process ends
  return *registry;
}

template <typename Map>
auto& Entry(Map& map, absl::string_view name, absl::string_view labels) {
  auto family = map.find(name);
  if (family == map.end())
    family = map.emplace(std::string(name), typename Map::mapped_type{}).first;
  auto entry = family->second.find(labels);
  if (entry == family->second.end()) {
    entry =
        family->second.emplace(std::string(labels), typename Map::mapped_type::mapped_type{}).first;
  }
  return entry->second;
}

std::string Braces(absl::string_view labels, absl::string_view more = "") {
  if (labels.empty() && more.empty()) return "";
  return absl::StrCat("{", labels, labels.empty() || more.empty() ? "" : ",", more, "}");
}

void AppendHistogram(std::string* text, absl::string_view name, absl::string_view labels,
                     const Histogram& h) {
  int64_t below = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    below += h.buckets[i];
    absl::StrAppend(text, name, "_bucket", Braces(labels, absl::StrCat("le=\"", kBounds[i], "\"")),
                    " ", below, "\n");
  }
  absl::StrAppend(text, name, "_bucket", Braces(labels, "le=\"+Inf\""), " ", h.count, "\n");
  absl::StrAppend(text, name, "_sum", Braces(labels), " ", h.sum, "\n");
  absl::StrAppend(text, name, "_count", Braces(labels), " ", h.count, "\n");
}

}  // namespace

void CountMetric(absl::string_view name, absl::string_view labels, int64_t add) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mu);
  Entry(registry.values, name, labels).value += add;
}

void SetGauge(absl::string_view name, absl::string_view labels, int64_t value) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mu);
  Value& entry = Entry(registry.values, name, labels);
  entry = {value, true};
}

void ObserveSeconds(absl::string_view name, absl::string_view labels, double seconds) {
  size_t bucket = 0;
  while (bucket < kBounds.size() && seconds > kBounds[bucket]) ++bucket;
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mu);
  Histogram& h = Entry(registry.histograms, name, labels);
  ++h.buckets[bucket];
  ++h.count;
  h.sum += seconds;
}

std::string MetricsText() {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mu);
  std::string text;
  for (const auto& [name, entries] : registry.values) {
    absl::StrAppend(&text, "# TYPE ", name,
                    entries.begin()->second.gauge ? " gauge\n" : " counter\n");
    for (const auto& [labels, entry] : entries)
      absl::StrAppend(&text, name, Braces(labels), " ", entry.value, "\n");
  }
  for (const auto& [name, entries] : registry.histograms) {
    absl::StrAppend(&text, "# TYPE ", name, " histogram\n");
    for (const auto& [labels, h] : entries) AppendHistogram(&text, name, labels, h);
  }
  return text;
}

}  // namespace crisp
