// The v1 `tasks` files of a cgroup for as long as a launch needs them.
#pragma once

#include <vector>

#include "runtime/base/status.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// Several launches (execs of one container) may hold them at once; the last one closes them, so
// that an idle container costs no descriptors.
class TaskFds {
 public:
  // An error where a hierarchy lacks the cgroup: the process would run outside of its limits.
  static StatusOr<TaskFds> Open(Cgroup& cgroup);
  TaskFds(TaskFds&& other) noexcept;
  TaskFds& operator=(TaskFds&&) = delete;
  ~TaskFds();

  const std::vector<int>& fds() const { return fds_; }

 private:
  explicit TaskFds(Cgroup* cgroup) : cgroup_(cgroup) {}

  Cgroup* cgroup_;
  std::vector<int> fds_;
};

}  // namespace crisp::runtime
