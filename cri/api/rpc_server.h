// The CRI on a unix socket. Its .cc is the only file of the daemon that includes gRPC.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "cri/api/call_log.h"
#include "cri/api/services.h"
#include "runtime/base/status.h"

namespace crisp {

struct RpcServerOptions {
  std::string
      socket_path;  // absolute; mode 0660 root:root; PATH.lock beside it keeps a second daemon out
  CallLog* calls = nullptr;  // finished calls go here; may be null
  int max_threads = 300;     // calls that block at once; more get RESOURCE_EXHAUSTED
};

// The handlers and the call log must outlive it. Answers from the return of Start() on.
class RpcServer {
 public:
  static StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options,
                                                    RuntimeHandler* runtime, ImageHandler* image);
  virtual ~RpcServer() = default;
  // No new calls; running ones may finish until the deadline, then they see cancelled(). Returns
  // when no handler runs any more, so handlers must look at cancelled().
  virtual void Shutdown(absl::Time deadline) = 0;
};

}  // namespace crisp
