// The connection to a URL that Exec, Attach or PortForward gave: a WebSocket with one of the
// Kubernetes channel protocols. Non-blocking: what is to be sent waits in a queue.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cri/cli/tls_tunnel.h"
#include "cri/cli/ws_frames.h"
#include "runtime/sys/fd.h"

namespace crisp::cli {

struct StreamUrl {
  std::string host, port, path;
  bool secure = false;
};
StatusOr<StreamUrl> ParseStreamUrl(absl::string_view url);  // http[s]://HOST:PORT/PATH

// What the server's answer to the upgrade says; `head` ends with the empty line. The subprotocol,
// or an error with the server's status line.
StatusOr<std::string> CheckUpgrade(absl::string_view head);

class StreamSocket {
 public:
  // `protocols`: those offered, best first. `ca_file`: whom to trust if the URL begins with https
  // (tls_tunnel.h).
  static StatusOr<StreamSocket> Open(const std::string& url,
                                     const std::vector<std::string>& protocols,
                                     const std::string& ca_file);

  int fd() const { return fd_.get(); }
  const std::string& protocol() const { return protocol_; }
  // Queued; Flush sends as much as goes.
  void Send(WsOpcode opcode, absl::string_view data);
  void SendChannel(char channel, absl::string_view data);
  Status Flush();
  bool Sending() const { return !queue_.empty(); }
  // What has come; pings are answered. `ended`: the server has closed.
  StatusOr<std::vector<WsMessage>> Receive(bool* ended);

 private:
  Status Upgrade(const StreamUrl& url, const std::vector<std::string>& protocols);

  std::unique_ptr<TlsTunnel> tunnel_;  // ends after fd_
  UniqueFd fd_;
  std::string protocol_, queue_, first_;  // first_: frames that came with the upgrade's answer
  WsReader reader_;
};

}  // namespace crisp::cli
