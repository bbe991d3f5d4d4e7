// What policy implements: one method per RPC, free of gRPC. A method that is not overridden answers
// UNIMPLEMENTED, the exact code at which the kubelet falls back (RuntimeConfig, Stream*, ...).
//   Status RunPodSandbox(const v1::RunPodSandboxRequest&, v1::RunPodSandboxResponse*, CallContext&)
//   Status GetContainerEvents(const v1::GetEventsRequest&,
//                             StreamWriter<v1::ContainerEventResponse>&, CallContext&)
#pragma once

#include "absl/strings/str_cat.h"
#include "cri/api/call_context.h"
#include "cri/api/cri.h"
#include "cri/api/rpc_list.h"
#include "runtime/base/status.h"

namespace crisp {

// The answers of a streaming RPC, in order.
template <typename Response>
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  // False: the client is gone, stop. Blocks while the client does not read.
  virtual bool Write(const Response& response) = 0;
  // Tells the client that the call has begun, before there is anything to write.
  virtual void Begin() {}
  // From any thread: ends a Write that blocks; the client sees CANCELLED.
  virtual void Abort() {}
};

inline Status NotImplemented(absl::string_view rpc) {
  return absl::UnimplementedError(absl::StrCat("RPC is not implemented: ", rpc));
}

#define CRISP_UNARY_METHOD(rpc, method, Request, Response)                 \
  virtual Status method(const v1::Request&, v1::Response*, CallContext&) { \
    return NotImplemented(#rpc);                                           \
  }
#define CRISP_STREAM_METHOD(rpc, method, Request, Response)                              \
  virtual Status method(const v1::Request&, StreamWriter<v1::Response>&, CallContext&) { \
    return NotImplemented(#rpc);                                                         \
  }

// Methods are called from many threads at once and may block (StopContainer, ExecSync).
class RuntimeHandler {
 public:
  virtual ~RuntimeHandler() = default;
  CRISP_RUNTIME_RPCS(CRISP_UNARY_METHOD, CRISP_STREAM_METHOD)
};

class ImageHandler {
 public:
  virtual ~ImageHandler() = default;
  CRISP_IMAGE_RPCS(CRISP_UNARY_METHOD, CRISP_STREAM_METHOD)
};

#undef CRISP_UNARY_METHOD
#undef CRISP_STREAM_METHOD

}  // namespace crisp
