// The one mapping of our errors to what a CRI client sees.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp {

struct RpcError {
  int code;  // of gRPC; absl uses the same numbers
  std::string message;
};

// Codes go out as they are: the kubelet acts on NotFound, Unimplemented and ExecSync's
// DeadlineExceeded. Only PullImage differs: the kubelet's client keeps the text alone (with the
// prefixes RegistryUnavailable: and SignatureValidationFailed:) of an UNKNOWN error.
RpcError RpcErrorOf(absl::string_view method, const Status& status);

}  // namespace crisp
