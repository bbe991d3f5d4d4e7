// The streaming server: a listener, and a thread for each connection that lives as long as it does.
#pragma once

#include <memory>
#include <string>

#include "cri/streaming/session.h"
#include "cri/streaming/urls.h"

namespace crisp::streaming {

struct TlsFiles {
  std::string certificate;  // PEM, the chain; "": no TLS
  std::string key;          // PEM, without a password
  std::string client_ca;    // PEM; "": any client
};

struct ServerOptions {
  std::string address = "127.0.0.1:0";  // numeric; port 0: any
  TlsFiles tls;
  int max_connections = 1024;     // more are closed at once
  int head_ms = 10'000;           // from accept to the end of the request's head
  int setup_ms = 30'000;          // until all streams are there
  int idle_ms = 4 * 3600 * 1000;  // without a byte in either direction
  int probe_ms = 5'000;           // how often a client that is not being read is asked
  int drain_ms = 100;             // after an exit, for children that hold the output
};

class StreamServer {
 public:
  // Both outlive the server, which calls SetBase of `urls` at the start and at the end.
  static StatusOr<std::unique_ptr<StreamServer>> Start(ServerOptions options, StreamUrls* urls,
                                                       StreamBackend* backend);
  // Ends all connections, and with them their sessions.
  virtual ~StreamServer() = default;
  virtual int port() const = 0;
  virtual int connections() const = 0;
};

}  // namespace crisp::streaming
