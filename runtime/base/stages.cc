#include "runtime/base/stages.h"

#include <time.h>

#include "absl/strings/str_cat.h"
#include "runtime/base/metrics.h"

namespace crisp {
namespace {

int64_t Nanos(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace

int64_t MonotonicNanos() { return Nanos(CLOCK_MONOTONIC); }
int64_t RealtimeNanos() { return Nanos(CLOCK_REALTIME); }

StageClock::StageClock(absl::string_view op) : op_(op), start_(MonotonicNanos()), last_(start_) {
  stages_.reserve(8);
}

void StageClock::Mark(absl::string_view step) {
  const int64_t now = MonotonicNanos();
  stages_.push_back({std::string(step), now - last_});
  ObserveSeconds("crisp_step_duration_seconds",
                 absl::StrCat("op=\"", op_, "\",step=\"", step, "\""),
                 static_cast<double>(now - last_) / 1e9);
  last_ = now;
}

std::string StageClock::Text() const {
  std::string text;
  for (const Stage& stage : stages_) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", stage.name, " ", stage.nanos / 1000, "us");
  }
  return text;
}

}  // namespace crisp
