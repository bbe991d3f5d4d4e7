#include "cri/pods/mcs_levels.h"

#include <sys/random.h>

#include <cerrno>
#include <utility>

namespace crisp::cri {
namespace {

constexpr uint32_t kCategories = 1024;  // of the common policies; 523776 pairs
constexpr int kTries = 1000;  // a node has a few hundred pods: the first one nearly always

StatusOr<std::string> RandomLevel() {
  uint16_t pair[2];
  if (getrandom(pair, sizeof(pair), 0) != sizeof(pair)) return ErrnoStatus(errno, "getrandom");
  uint32_t low = pair[0] % kCategories, high = pair[1] % (kCategories - 1);
  if (high >= low) ++high;
  if (low > high) std::swap(low, high);
  return absl::StrCat("s0:c", low, ",c", high);
}

}  // namespace

std::shared_ptr<const std::string> McsLevels::Own(const std::string& level) {
  return std::shared_ptr<const std::string>(new std::string(level),
                                            [used = used_](const std::string* gone) {
                                              std::lock_guard<std::mutex> lock(used->mu);
                                              used->levels.erase(*gone);
                                              delete gone;
                                            });
}

StatusOr<std::shared_ptr<const std::string>> McsLevels::Pick() {
  for (int i = 0; i < kTries; ++i) {
    ASSIGN_OR_RETURN(const std::string level, RandomLevel());
    {
      std::lock_guard<std::mutex> lock(used_->mu);
      if (!used_->levels.insert(level).second) continue;
    }
    return Own(level);
  }
  return absl::ResourceExhaustedError("no SELinux level is free");
}

std::shared_ptr<const std::string> McsLevels::Take(const std::string& level) {
  {
    std::lock_guard<std::mutex> lock(used_->mu);
    used_->levels.insert(level);
  }
  return Own(level);
}

}  // namespace crisp::cri
