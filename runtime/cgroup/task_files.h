// The v1 `tasks` files of a cgroup: what a launch hands its child, which writes "0" to each.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
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
  // Null if they are not open.
  std::shared_ptr<const TaskFiles> Find(const std::string& path);
  void Add(const std::string& path, std::shared_ptr<const TaskFiles> files);
  // When the cgroup goes.
  void Forget(const std::string& path);

 private:
  struct Entry {
    std::string path;
    std::shared_ptr<const TaskFiles> files;
  };
  static constexpr size_t kMax = 8;
  std::mutex mutex_;
  std::deque<Entry> recent_;  // newest last
};

}  // namespace crisp::runtime
