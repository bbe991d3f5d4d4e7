// Where the time of a request went: named steps with monotonic times. The same names show in `crisp
// inspect` and in the metric crisp_step_duration_seconds{op,step}.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace crisp {

int64_t MonotonicNanos();
int64_t RealtimeNanos();

struct Stage {
  std::string name;
  int64_t nanos;
};

// Used by one thread. Mark("network") ends the step "network", begun at the mark before it.
class StageClock {
 public:
  explicit StageClock(absl::string_view op);
  void Mark(absl::string_view step);
  const std::string& op() const { return op_; }
  const std::vector<Stage>& stages() const { return stages_; }
  int64_t total_nanos() const { return last_ - start_; }
  // "network 310us, namespaces 40us"
  std::string Text() const;

 private:
  std::string op_;
  int64_t start_, last_;
  std::vector<Stage> stages_;
};

}  // namespace crisp
