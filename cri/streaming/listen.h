// The listening socket of the streaming server.
#pragma once

#include <string>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::streaming {

struct ListeningSocket {
  UniqueFd fd;      // non-blocking
  int port = 0;     // the one that was bound
  std::string url;  // "http://127.0.0.1:4321"
};

// `address`: numeric, with a port: "127.0.0.1:0", "[::1]:10010".
// `secure`: its URLs begin with https.
StatusOr<ListeningSocket> ListenOn(const std::string& address, bool secure);

}  // namespace crisp::streaming
