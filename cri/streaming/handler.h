// What a connection does once its protocol is agreed: an exec or attachment (session_handler.h), or
// forwarded ports (forward_handler.h). All on the connection's thread, nothing blocks but a launch.
#pragma once

#include <poll.h>

#include <vector>

#include "cri/streaming/output.h"
#include "cri/streaming/protocol.h"

namespace crisp::streaming {

// One read of a process's output: small enough that streams take turns.
inline constexpr size_t kPiece = 32 << 10;
inline constexpr size_t kCodedPiece = 8 << 10;  // of base64, which is copied twice

struct HandlerParts {
  Protocol* protocol = nullptr;
  Output* output = nullptr;
  int setup_ms = 30'000;
  int drain_ms = 100;
};

class Handler : public StreamSink {
 public:
  virtual void Start() = 0;                          // the client has its 101
  virtual void Watch(std::vector<pollfd>* fds) = 0;  // appends what it waits for
  virtual void Ready(const pollfd* fds) = 0;         // the same ones, in the same order
  virtual void AfterInput() {}
  virtual int64_t deadline() const = 0;  // monotonic ns; then Ready is called; INT64_MAX: none
  virtual bool done() const = 0;         // all is told: flush and close
};

}  // namespace crisp::streaming
