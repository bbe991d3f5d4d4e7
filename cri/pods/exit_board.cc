#include "cri/pods/exit_board.h"

#include <chrono>

namespace crisp::cri {
namespace {

constexpr size_t kMaxUntaken = 4096;

}  // namespace

void ExitBoard::Stop() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ExitBoard::Post(const keeper::ExitEvent& event) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    queue_.push_back(event);
  }
  changed_.notify_all();
}

void ExitBoard::Start(std::function<bool(const keeper::ExitEvent&)> handle) {
  handle_ = std::move(handle);
  thread_ = std::thread([this] { Run(); });
}

void ExitBoard::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const keeper::ExitEvent event = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const bool taken = handle_(event);
    lock.lock();
    if (taken) continue;
    execs_[event.id] = event.wait_status;
    exec_order_.push_back(event.id);
    while (exec_order_.size() > kMaxUntaken) {
      execs_.erase(exec_order_.front());
      exec_order_.pop_front();
    }
    changed_.notify_all();
  }
}

StatusOr<int> ExitBoard::TakeExec(const std::string& exec_id, int timeout_ms) {
  std::unique_lock<std::mutex> lock(mu_);
  const auto there = [&] { return stopping_ || execs_.count(exec_id) > 0; };
  if (timeout_ms < 0) {
    changed_.wait(lock, there);
  } else if (!changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), there)) {
    return absl::DeadlineExceededError(absl::StrCat("exec did not end within ", timeout_ms, " ms"));
  }
  const auto exec = execs_.find(exec_id);
  if (exec == execs_.end()) return absl::UnavailableError("the daemon is stopping");
  const int wait_status = exec->second;
  execs_.erase(exec);
  return wait_status;
}

}  // namespace crisp::cri
