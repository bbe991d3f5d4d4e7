#include "runtime/cgroup/task_files.h"

#include <algorithm>

namespace crisp::runtime {

std::shared_ptr<const TaskFiles> RecentTaskFiles::Find(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = std::find_if(recent_.begin(), recent_.end(),
                                  [&](const Entry& each) { return each.path == path; });
  if (entry == recent_.end()) return nullptr;
  std::rotate(entry, entry + 1, recent_.end());
  return recent_.back().files;
}

void RecentTaskFiles::Add(const std::string& path, std::shared_ptr<const TaskFiles> files) {
  const std::lock_guard<std::mutex> lock(mutex_);
  recent_.push_back({path, std::move(files)});
  if (recent_.size() > kMax) recent_.pop_front();
}

void RecentTaskFiles::Forget(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  recent_.erase(std::remove_if(recent_.begin(), recent_.end(),
                               [&](const Entry& each) { return each.path == path; }),
                recent_.end());
}

}  // namespace crisp::runtime
