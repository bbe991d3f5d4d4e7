#include "runtime/cgroup/task_files.h"

#include <algorithm>

namespace crisp::runtime {

void RecentTaskFiles::Use(const std::shared_ptr<const TaskFiles>& files) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!recent_.empty() && recent_.front() == files) return;
  recent_.erase(std::remove(recent_.begin(), recent_.end(), files), recent_.end());
  recent_.push_front(files);
  if (recent_.size() > kMax) recent_.pop_back();
}

void RecentTaskFiles::Forget(const std::shared_ptr<const TaskFiles>& files) {
  const std::lock_guard<std::mutex> lock(mutex_);
  recent_.erase(std::remove(recent_.begin(), recent_.end(), files), recent_.end());
}

}  // namespace crisp::runtime
