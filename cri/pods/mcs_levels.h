// SELinux levels (multi-category security) in use: each pod gets a pair of categories that no other
// pod of this node has, so that containers of the same type are kept from each other's files.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "runtime/base/status.h"

namespace crisp::cri {

class McsLevels {
 public:
  // A random free "s0:cA,cB" with A < B < 1024; free again once its last owner is gone.
  StatusOr<std::shared_ptr<const std::string>> Pick();
  // Recovery: the level of a pod that exists.
  std::shared_ptr<const std::string> Take(const std::string& level);

 private:
  // Outlives the table where a pod does.
  struct Used {
    std::mutex mu;
    std::set<std::string> levels;
  };
  std::shared_ptr<const std::string> Own(const std::string& level);

  std::shared_ptr<Used> used_ = std::make_shared<Used>();
};

}  // namespace crisp::cri
