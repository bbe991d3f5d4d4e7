#include "cri/pods/janitor.h"

#include <algorithm>
#include <chrono>

#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "runtime/base/stages.h"

namespace crisp::cri {

Janitor::Janitor() : thread_([this] { Run(); }) {}

Janitor::~Janitor() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Janitor::Queue(std::string name, std::function<Status()> work) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    tasks_.push_back({std::move(name), std::move(work), 0, 0});
  }
  changed_.notify_all();
}

bool Janitor::Quiesce(int timeout_ms) {
  std::unique_lock<std::mutex> lock(mu_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [&] { return tasks_.empty() && !busy_; });
}

void Janitor::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  while (!stopping_) {
    if (tasks_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto next =
        std::min_element(tasks_.begin(), tasks_.end(),
                         [](const Task& a, const Task& b) { return a.due_nanos < b.due_nanos; });
    const int64_t wait = next->due_nanos - MonotonicNanos();
    if (wait > 0) {
      changed_.wait_for(lock, std::chrono::nanoseconds(wait));
      continue;
    }
    Task task = std::move(*next);
    tasks_.erase(next);
    busy_ = true;
    lock.unlock();
    RunOne(std::move(task));
    lock.lock();
    busy_ = false;
    SetGauge("crisp_janitor_queue", "", static_cast<int64_t>(tasks_.size()));
    changed_.notify_all();
  }
}

void Janitor::RunOne(Task task) {
  const Status status = task.work();
  if (status.ok()) return;
  if (task.failures == 0)
    LogWarning("cleaning up failed, will retry",
               {{"what", task.name}, {"error", status.ToString()}});
  CountMetric("crisp_janitor_failures_total");
  const int64_t pause_ms = std::min<int64_t>(30'000, int64_t{100} << std::min(task.failures, 10));
  ++task.failures;
  task.due_nanos = MonotonicNanos() + pause_ms * 1'000'000;
  std::lock_guard<std::mutex> lock(mu_);
  tasks_.push_back(std::move(task));
}

}  // namespace crisp::cri
