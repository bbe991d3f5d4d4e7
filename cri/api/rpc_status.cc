#include "cri/api/rpc_status.h"

namespace crisp {
namespace {

// The message travels in an HTTP/2 trailer; clients limit the size of all headers together.
constexpr size_t kMaxMessage = 4096;

bool PullKeepsCode(absl::StatusCode code) {
  return code == absl::StatusCode::kOk || code == absl::StatusCode::kCancelled ||
         code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kUnimplemented;
}

}  // namespace

RpcError RpcErrorOf(absl::string_view method, const Status& status) {
  absl::StatusCode code = status.code();
  if (method == "PullImage" && !PullKeepsCode(code)) code = absl::StatusCode::kUnknown;
  return {static_cast<int>(code), std::string(status.message().substr(0, kMaxMessage))};
}

}  // namespace crisp
