// Ready-made pod networks: an empty namespace with its cable plugged and addressed. A namespace is
// given out once and never comes back. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "cni/builtin/bridge.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

class LiveNetwork;

struct Attachment {
  UniqueFd netns;
  Cable cable;
  std::vector<IpAddr> ips;
};

class CablePool {
 public:
  // One of `network`, if there is any.
  std::optional<Attachment> Take(const LiveNetwork* network);
  // Like Take, but waits for one that is being made, if there is: it may hold the last address.
  std::optional<Attachment> TakeComing(const LiveNetwork* network, int timeout_ms);

  // Around the making of one.
  void BeginMaking();
  void EndMaking();
  // False: not wanted any more (full, stopped or another network's turn); the caller unmakes it.
  bool Put(const LiveNetwork* network, Attachment* attachment);
  // From now on `size` attachments of `network` (nullptr: none) are kept; returns the old ones.
  std::deque<Attachment> SwitchTo(const LiveNetwork* network, size_t size);

  // Everything that is ready; the pool fills again.
  std::deque<Attachment> Drain();

  // When the worker should refill, on the monotonic clock; INT64_MAX: full.
  int64_t RefillAt(const LiveNetwork* network) const;
  size_t count() const;
  size_t missing() const;  // of those that are kept

 private:
  bool WantsLocked(const LiveNetwork* network) const;
  std::optional<Attachment> TakeLocked(const LiveNetwork* network);

  mutable std::mutex mutex_;
  size_t size_ = 0;
  const LiveNetwork* network_ = nullptr;
  std::deque<Attachment> ready_;
  int64_t last_take_ = 0;
  int making_ = 0;
  std::condition_variable changed_;
};

}  // namespace crisp::cni
