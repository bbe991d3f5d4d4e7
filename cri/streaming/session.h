// What joins the two sides of exec, attach and port-forward: the wire (this folder: HTTP, SPDY,
// WebSocket) and whoever runs them (StreamBackend: cri/service). Descriptors pass between them, so
// that a client who stops reading blocks the process's own pipe and nobody else.
// docs/design/streaming.md
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::streaming {

enum class StreamKind { kExec, kAttach, kPortForward };

// What an RPC asked for, checked by its handler; a client redeems it once, by its URL.
struct StreamRequest {
  StreamKind kind = StreamKind::kExec;
  std::string id;                    // full id: container; port-forward: sandbox
  std::vector<std::string> command;  // exec
  bool tty = false;                  // then never err
  bool in = false, out = false, err = false;
  std::vector<uint16_t> ports;  // port-forward over WebSocket channels; others name them later
};

// A running exec or an attachment. One thread uses it: the connection's.
class StreamSession {
 public:
  // The client is gone or everything is told: whatever still runs for it ends here by the
  // backend's policy (exec: SIGHUP, grace, SIGKILL; attach: only the attachment).
  virtual ~StreamSession() = default;

  // Our ends; not valid: the request has no such stream. `out` ends with EOF, a terminal's with
  // EIO. With a terminal `in` and `out` are two descriptors of it. The wire takes them, makes them
  // non-blocking (so their open files must not be shared with a process or the keeper) and closes
  // them when the stream ends. Pipes, terminals or sockets.
  UniqueFd in, out, err;

  // Readable (poll) when it has ended: a pidfd, an eventfd.
  virtual int ended_fd() const = 0;
  // Exit code, once ended_fd() is readable; must not block long. 0 for an attachment, whose exit
  // code is the container's business. An error goes to the client as text.
  virtual StatusOr<int> Result() = 0;
  // The newest size of the client's window; only with a terminal. Many may come: never block.
  virtual void Resize(uint16_t width, uint16_t height) = 0;
  // The client ended its stdin; `in` is closed already. An attachment to a container with
  // stdin_once ends the container's.
  virtual void StdinEnded() {}
  // The end of the client's stdin is the end of its session: it detaches.
  virtual bool EndsWithStdin() const { return false; }
};

class StreamBackend {
 public:
  virtual ~StreamBackend() = default;
  // Each is called on a thread of its connection, may take as long as a launch takes, and may be
  // called from many threads at once. Errors go to the client.
  virtual StatusOr<std::unique_ptr<StreamSession>> Exec(const StreamRequest& request) = 0;
  virtual StatusOr<std::unique_ptr<StreamSession>> Attach(const StreamRequest& request) = 0;
  // A TCP socket (AF_INET or AF_INET6) in the sandbox's network namespace, SOCK_NONBLOCK and not
  // connected: the wire connects it to loopback there, first IPv4, then IPv6. Called for each
  // forwarded connection, so a sandbox that stopped meanwhile answers NOT_FOUND.
  virtual StatusOr<UniqueFd> Socket(const std::string& sandbox, int family) = 0;
};

}  // namespace crisp::streaming
