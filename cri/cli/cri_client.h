// A CRI client: one method per unary RPC, gRPC kept inside its .cc. Works with any runtime.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "cri/api/cri.h"
#include "cri/api/rpc_list.h"
#include "runtime/base/status.h"

namespace crisp::cli {

inline constexpr absl::Duration kDefaultTimeout = absl::Minutes(2);

#define CRISP_CLIENT_UNARY(rpc, method, Request, Response)          \
  virtual StatusOr<v1::Response> method(const v1::Request& request, \
                                        absl::Duration timeout = kDefaultTimeout) = 0;
#define CRISP_CLIENT_STREAM(rpc, method, Request, Response)

class CriClient {
 public:
  virtual ~CriClient() = default;
  // "unix:///run/crisp/crisp.sock" or a plain path. Fails at once, with a hint, if nobody answers.
  static StatusOr<std::unique_ptr<CriClient>> Connect(const std::string& endpoint);

  CRISP_RUNTIME_RPCS(CRISP_CLIENT_UNARY, CRISP_CLIENT_STREAM)
  CRISP_IMAGE_RPCS(CRISP_CLIENT_UNARY, CRISP_CLIENT_STREAM)
};

#undef CRISP_CLIENT_UNARY
#undef CRISP_CLIENT_STREAM

}  // namespace crisp::cli
