// The last finished calls with the time of each step: for the debug socket and the "timing" of a
// verbose status.
#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "cri/api/call_context.h"
#include "runtime/base/status.h"

namespace crisp {

struct FinishedCall {
  std::string method;
  std::string request_id;
  std::string object;             // pod or container id, "" if the call is about none
  std::string code;               // "OK", "NOT_FOUND", ...
  int64_t finished_at_nanos = 0;  // real time
  int64_t total_nanos = 0;
  std::vector<Stage> stages;
};

// "method id code total: step 310us, step 40us"
std::string FinishedCallText(const FinishedCall& call);

// Thread-safe ring. The daemon owns it; the server adds to it; handlers look their object up.
class CallLog {
 public:
  explicit CallLog(size_t limit = 512) : limit_(limit) {}

  void Add(const CallContext& call, const Status& result, int64_t total_nanos);
  // Newest last.
  std::vector<FinishedCall> RecentCalls() const;
  std::vector<FinishedCall> CallsOf(absl::string_view object) const;

 private:
  const size_t limit_;
  mutable std::mutex mu_;
  std::deque<FinishedCall> calls_;
};

}  // namespace crisp
