#include "cni/pool/cable_pool.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "runtime/base/stages.h"

namespace crisp::cni {
namespace {

// A refill competes with the starting pod for a processor and the kernel's rtnl lock: unless half
// is gone, it waits until the pod is under way.
constexpr int64_t kQuietNanos = 20'000'000;

}  // namespace

std::optional<Attachment> CablePool::TakeLocked(const LiveNetwork* network) {
  if (network != network_ || ready_.empty()) return std::nullopt;
  Attachment attachment = std::move(ready_.front());
  ready_.pop_front();
  last_take_ = MonotonicNanos();
  return attachment;
}

std::optional<Attachment> CablePool::Take(const LiveNetwork* network) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return TakeLocked(network);
}

std::optional<Attachment> CablePool::TakeComing(const LiveNetwork* network, int timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                    [&] { return !ready_.empty() || making_ == 0; });
  return TakeLocked(network);
}

void CablePool::BeginMaking() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++making_;
}

void CablePool::EndMaking() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --making_;
  changed_.notify_all();
}

bool CablePool::WantsLocked(const LiveNetwork* network) const {
  return network != nullptr && network == network_ && ready_.size() < size_;
}

bool CablePool::Put(const LiveNetwork* network, Attachment* attachment) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!WantsLocked(network)) return false;
  ready_.push_back(std::move(*attachment));
  changed_.notify_all();
  return true;
}

std::deque<Attachment> CablePool::SwitchTo(const LiveNetwork* network, size_t size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  network_ = network;
  size_ = size;
  std::deque<Attachment> dropped;
  dropped.swap(ready_);
  return dropped;
}

std::deque<Attachment> CablePool::Drain() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::deque<Attachment> dropped;
  dropped.swap(ready_);
  return dropped;
}

int64_t CablePool::RefillAt(const LiveNetwork* network) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!WantsLocked(network)) return std::numeric_limits<int64_t>::max();
  return ready_.size() * 2 <= size_ ? 0 : last_take_ + kQuietNanos;
}

size_t CablePool::missing() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return network_ == nullptr ? 0 : size_ - std::min(size_, ready_.size());
}

size_t CablePool::count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ready_.size();
}

}  // namespace crisp::cni
