// A few text pages over HTTP/1.1: all of them on a unix socket for root, /metrics alone on TCP if
// the operator asks for it. Nothing that dumps memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/base/status.h"

namespace crisp {

struct DebugPage {
  std::function<std::string()> body;  // called on the server's thread: must not block
  std::string type = "text/plain; charset=utf-8";
};

struct DebugServerOptions {
  std::string socket_path;                 // 0600
  std::string metrics_address;             // "127.0.0.1:9090", "[::1]:9090"; "" = no TCP
  std::map<std::string, DebugPage> pages;  // "/healthz", "/metrics", "/pods", ...
  int max_connections = 16;                // more wait in the backlog
  int deadline_ms = 5000;                  // from accept to the last byte
};

// One thread; ends with the object.
class DebugServer {
 public:
  static StatusOr<std::unique_ptr<DebugServer>> Start(DebugServerOptions options);
  virtual ~DebugServer() = default;
  // What was bound, for metrics_address with port 0.
  virtual int metrics_port() const = 0;
};

}  // namespace crisp
