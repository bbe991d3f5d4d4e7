// What a container has written to its layer: its upper directory is walked in the background, at
// most every ten seconds, and more seldom if it is large. Calls get the last result at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "runtime/base/status.h"

namespace crisp::runtime {

struct LayerSize {
  uint64_t bytes = 0;   // allocated, as du counts; a file with several links once
  uint64_t inodes = 0;  // the upper directory itself included
  int64_t time_nanos = 0;
  bool complete = true;  // false: the walk ended at max_entries
};

// Never follows a link, opens nothing but directories, does not leave the file system. A walk ends
// after `max_entries`; directories deeper than 100 are not entered. CANCELLED once `stop` is set.
StatusOr<LayerSize> WalkLayer(const std::string& upper_dir, uint64_t max_entries,
                              const std::atomic<bool>* stop = nullptr);

// The last known size of one layer.
class LayerGauge {
 public:
  explicit LayerGauge(std::string upper_dir) : upper_dir_(std::move(upper_dir)) {}

 private:
  friend class LayerMeter;
  const std::string upper_dir_;
  std::mutex mu_;
  std::optional<LayerSize> size_;
  int64_t next_nanos_ = 0;  // monotonic: when it may be measured again
  bool queued_ = false;
};

// Its one thread starts at the first layer that is too large to be walked by the call itself.
class LayerMeter {
 public:
  LayerMeter() = default;
  ~LayerMeter();

  // The last result; a new one is made in the background if that is old. Nothing yet for a large
  // layer that was never measured.
  std::optional<LayerSize> Size(const std::shared_ptr<LayerGauge>& gauge);

 private:
  void Queue(const std::shared_ptr<LayerGauge>& gauge);
  void Run();

  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<LayerGauge>> queue_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace crisp::runtime
