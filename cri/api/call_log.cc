#include "cri/api/call_log.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace crisp {

std::string FinishedCallText(const FinishedCall& call) {
  std::string text = absl::StrCat(call.method, " ", call.object.empty() ? "-" : call.object, " ",
                                  call.code, " ", call.total_nanos / 1000, "us");
  const char* separator = ": ";
  for (const Stage& stage : call.stages) {
    absl::StrAppend(&text, separator, stage.name, " ", stage.nanos / 1000, "us");
    separator = ", ";
  }
  return text;
}

void CallLog::Add(const CallContext& call, const Status& result, int64_t total_nanos) {
  FinishedCall finished{.method = call.method(),
                        .request_id = call.request_id(),
                        .object = call.object(),
                        .code = absl::StatusCodeToString(result.code()),
                        .finished_at_nanos = RealtimeNanos(),
                        .total_nanos = total_nanos,
                        .stages = call.stages().stages()};
  std::lock_guard<std::mutex> lock(mu_);
  calls_.push_back(std::move(finished));
  if (calls_.size() > limit_) calls_.pop_front();
}

std::vector<FinishedCall> CallLog::RecentCalls() const {
  std::lock_guard<std::mutex> lock(mu_);
  return {calls_.begin(), calls_.end()};
}

std::vector<FinishedCall> CallLog::CallsOf(absl::string_view object) const {
  std::lock_guard<std::mutex> lock(mu_);
  std::vector<FinishedCall> found;
  std::copy_if(calls_.begin(), calls_.end(), std::back_inserter(found),
               [&](const FinishedCall& call) { return call.object == object; });
  return found;
}

}  // namespace crisp
