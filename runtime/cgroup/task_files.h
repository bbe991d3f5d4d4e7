// The v1 `tasks` files of a cgroup: what a launch hands its child, which writes "0" to each.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/sys/fd.h"

namespace crisp::runtime {

struct TaskFiles {
  std::vector<UniqueFd> files;  // one a hierarchy, O_WRONLY

  std::vector<int> fds() const {
    std::vector<int> numbers;
    for (const UniqueFd& file : files) numbers.push_back(file.get());
    return numbers;
  }
};

// Keeps those of the cgroups used last open: probes exec into the same few containers again and
// again, and nine opens are a twentieth of an exec. Bounded, so that idle containers cost nothing.
class RecentTaskFiles {
 public:
  void Use(const std::shared_ptr<const TaskFiles>& files);
  void Forget(const std::shared_ptr<const TaskFiles>& files);

 private:
  static constexpr size_t kMax = 8;
  std::mutex mutex_;
  std::deque<std::shared_ptr<const TaskFiles>> recent_;  // newest first
};

}  // namespace crisp::runtime
