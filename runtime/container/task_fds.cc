#include "runtime/container/task_fds.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace crisp::runtime {
namespace {

std::mutex users_mutex;

std::map<Cgroup*, int>& Users() {
  static auto* const users = new std::map<Cgroup*, int>;
  return *users;
}

}  // namespace

StatusOr<TaskFds> TaskFds::Open(Cgroup& cgroup) {
  TaskFds result(&cgroup);
  {
    const std::lock_guard<std::mutex> lock(users_mutex);
    ++Users()[&cgroup];
    result.fds_ = cgroup.v1_task_fds();
  }
  if (std::find(result.fds_.begin(), result.fds_.end(), -1) == result.fds_.end()) return result;
  return absl::NotFoundError(
      absl::StrCat("open cgroup ", cgroup.path(), ": missing in one of the hierarchies"));
}

TaskFds::TaskFds(TaskFds&& other) noexcept
    : cgroup_(std::exchange(other.cgroup_, nullptr)), fds_(std::move(other.fds_)) {}

TaskFds::~TaskFds() {
  if (cgroup_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(users_mutex);
  const auto user = Users().find(cgroup_);
  if (--user->second > 0) return;
  Users().erase(user);
  cgroup_->ReleaseTaskFds();
}

}  // namespace crisp::runtime
