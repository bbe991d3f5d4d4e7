#include "runtime/stats/sources.h"

#include <algorithm>

namespace crisp::runtime {

std::optional<ContainerSource::HugePageUse> ContainerSource::ReadHugePages(
    const std::string& size) {
  thread_local std::string buffer;
  const std::lock_guard<std::mutex> lock(mu_);
  if (no_huge_pages_) return std::nullopt;
  const std::string prefix = absl::StrCat("hugetlb.", size, ".");
  const auto read = [&](const char* v1, const char* v2) {
    return ParseNumber(files.ReadOnce("hugetlb", prefix + v1, *v2 ? prefix + v2 : "", &buffer));
  };
  const auto bytes = read("usage_in_bytes", "current");
  no_huge_pages_ = !bytes;
  if (!bytes) return std::nullopt;
  uint64_t& peak = huge_peak_[size];
  peak = std::max({peak, *bytes, read("max_usage_in_bytes", "").value_or(0)});
  return HugePageUse{*bytes, peak};
}

}  // namespace crisp::runtime
