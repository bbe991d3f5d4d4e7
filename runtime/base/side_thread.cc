#include "runtime/base/side_thread.h"

#include <algorithm>
#include <utility>

namespace crisp {

SideThread::SideThread() : thread_([this] { Run(); }) {}

SideThread::~SideThread() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void SideThread::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  while (true) {
    work_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const std::shared_ptr<Step> step = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    Status result = step->run();
    lock.lock();
    step->result = std::move(result);
    step->done = true;
    done_.notify_all();
  }
}

bool SideThread::TakeBack(const std::shared_ptr<Step>& step) {
  std::lock_guard<std::mutex> lock(mu_);
  const auto found = std::find(waiting_.begin(), waiting_.end(), step);
  if (found == waiting_.end()) return false;
  waiting_.erase(found);
  return true;
}

Status SideThread::Wait(const Step& step) {
  std::unique_lock<std::mutex> lock(mu_);
  done_.wait(lock, [&] { return step.done; });
  return step.result;
}

SideStep::SideStep(SideThread* side, std::function<Status()> step)
    : side_(side), step_(std::make_shared<SideThread::Step>()) {
  step_->run = std::move(step);
  if (side_ == nullptr) return;
  {
    std::lock_guard<std::mutex> lock(side_->mu_);
    side_->waiting_.push_back(step_);
  }
  side_->work_.notify_one();
}

SideStep::~SideStep() {
  if (step_ == nullptr || side_ == nullptr || side_->TakeBack(step_)) return;
  (void)side_->Wait(*step_);
}

Status SideStep::Join() {
  const std::shared_ptr<SideThread::Step> step = std::exchange(step_, nullptr);
  if (side_ == nullptr || side_->TakeBack(step)) return step->run();
  return side_->Wait(*step);
}

}  // namespace crisp
