#include "cri/streaming/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "cri/streaming/channels.h"
#include "cri/streaming/forward_handler.h"
#include "cri/streaming/http_upgrade.h"
#include "cri/streaming/input.h"
#include "cri/streaming/session_handler.h"
#include "cri/streaming/spdy.h"
#include "runtime/base/log.h"
#include "runtime/base/stages.h"

namespace crisp::streaming {
namespace {

constexpr size_t kMaxAnswers = 64 << 10;  // a client that reads no answers is not read either
constexpr int kFlushMs = 60'000;          // for the last bytes, from progress to progress
constexpr int kLingerMs = 2'000;          // for the client to close after us

int64_t After(int ms) { return MonotonicNanos() + int64_t{ms} * 1'000'000; }

int MillisUntil(int64_t deadline) {
  if (deadline == INT64_MAX) return -1;
  const int64_t left = (deadline - MonotonicNanos() + 999'999) / 1'000'000;
  return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

std::unique_ptr<Protocol> MakeProtocol(const Handshake& shake) {
  if (shake.wire == WireKind::kSpdy) return std::make_unique<SpdyProtocol>();
  if (shake.wire == WireKind::kTunnel) return std::make_unique<TunnelProtocol>();
  return std::make_unique<ChannelProtocol>(
      ChannelProtocol::Options{shake.base64, shake.version == 5});
}

class Connection {
 public:
  Connection(int socket, const ConnectionContext& context)
      : socket_(socket), context_(context), output_(socket) {}

  void Serve() {
    if (ReadHead() && Answer()) {
      handler_->Start();
      Run();
    }
    // What the socket takes goes out before the session is taken down; that must not wait for a
    // client who lingers. Half a stretch of a pipe that closes now can never be completed.
    if (!client_gone_ && !output_.Flush().ok()) client_gone_ = true;
    if (output_.splicing()) client_gone_ = true;
    handler_ = nullptr;
    if (!client_gone_) FlushAndClose();
  }

 private:
  bool ReadHead();
  bool Answer();
  std::unique_ptr<Handler> MakeHandler(StreamRequest request, const Handshake& shake);
  void Run();
  int Wait();
  bool Receive();
  bool Feed();
  void FlushAndClose();

  const int socket_;
  const ConnectionContext& context_;
  Output output_;
  Input input_;
  UpgradeHead head_;
  std::unique_ptr<Protocol> protocol_;
  std::unique_ptr<Handler> handler_;
  std::vector<pollfd> fds_;
  bool client_gone_ = false;
};

bool Connection::ReadHead() {
  const int64_t deadline = After(context_.options.head_ms);
  std::string head;
  for (char buffer[4096];;) {
    pollfd fd{socket_, POLLIN, 0};
    if (poll(&fd, 1, MillisUntil(deadline)) == 0) return false;
    const ssize_t n = recv(socket_, buffer, sizeof(buffer), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return false;
    head.append(buffer, static_cast<size_t>(n));
    size_t size = 0;
    switch (ParseUpgradeHead(head, &head_, &size)) {
      case HeadParse::kIncomplete:
        continue;
      case HeadParse::kComplete:
        input_.Put(absl::string_view(head).substr(size));  // less than the last read
        return true;
      case HeadParse::kBad:
        output_.buffer()->append(HttpRefusal(400, "not an HTTP/1.1 request without a body"));
        return false;
      case HeadParse::kTooLarge:
        output_.buffer()->append(HttpRefusal(431, "the request's head is larger than 16 KiB"));
        return false;
    }
  }
}

bool Connection::Answer() {
  std::optional<StreamRequest> request;
  if (head_.method == "GET" || head_.method == "POST") request = context_.urls->Take(head_.path);
  if (!request.has_value()) {
    output_.buffer()->append(
        HttpRefusal(404, "no such stream, or its URL was used or has expired"));
    return false;
  }
  const Handshake shake = Negotiate(head_, request->kind);
  output_.buffer()->append(shake.answer);
  if (!shake.accepted) return false;
  protocol_ = MakeProtocol(shake);
  handler_ = MakeHandler(*std::move(request), shake);
  head_ = {};
  return output_.Flush().ok();
}

std::unique_ptr<Handler> Connection::MakeHandler(StreamRequest request, const Handshake& shake) {
  HandlerParts parts;
  parts.protocol = protocol_.get();
  parts.output = &output_;
  parts.setup_ms = context_.options.setup_ms;
  parts.drain_ms = context_.options.drain_ms;
  const bool by_channel = shake.wire == WireKind::kChannels;
  if (request.kind == StreamKind::kPortForward)
    return std::make_unique<ForwardHandler>(std::move(request), context_.backend, parts,
                                            by_channel);
  return std::make_unique<SessionHandler>(std::move(request), context_.backend, parts,
                                          shake.version, by_channel);
}

// Until the handler has told all, the client left, or one of them broke the rules.
void Connection::Run() {
  bool good = Feed();
  while (good && !handler_->done()) {
    if (!output_.Flush().ok()) client_gone_ = true;
    const int ready = client_gone_ ? 0 : Wait();
    if (client_gone_ || ready < 0) break;
    handler_->Ready(fds_.data() + 1);
    if (fds_[0].revents != 0 && !Receive()) break;
    good = Feed();
    if (protocol_->client_left()) break;
  }
  if (!client_gone_ && good) protocol_->Bye(output_.buffer());
}

// -1: nothing happened for as long as may be.
int Connection::Wait() {
  fds_.clear();
  const bool hungry = input_.empty() && !protocol_->blocked() && output_.size() < kMaxAnswers;
  const int events = (hungry ? POLLIN : 0) | (output_.empty() ? 0 : POLLOUT) | POLLRDHUP;
  fds_.push_back({socket_, static_cast<short>(events), 0});
  handler_->Watch(&fds_);
  const int64_t idle = After(context_.options.idle_ms);
  const int64_t probe = hungry ? INT64_MAX : After(context_.options.probe_ms);
  const int64_t deadline = std::min({handler_->deadline(), idle, probe});
  const int ready = poll(fds_.data(), fds_.size(), MillisUntil(deadline));
  if (ready < 0 && errno != EINTR) return -1;
  if (ready == 0 && MonotonicNanos() >= idle) return -1;
  // The end of a client whose bytes we do not take stands behind those bytes; but a kernel that has
  // lost its process answers a ping with a reset.
  if (ready == 0 && MonotonicNanos() >= probe && output_.empty()) protocol_->Ping(output_.buffer());
  return std::max(ready, 0);
}

// False: the client is gone. What it sent before it left is still read, unless its end of the
// stream is what we cannot take any more of.
bool Connection::Receive() {
  const short events = fds_[0].revents;
  if ((events & (POLLERR | POLLHUP)) != 0 ||
      ((events & POLLRDHUP) != 0 && (events & POLLIN) == 0)) {
    client_gone_ = true;
    return false;
  }
  if ((events & POLLIN) == 0) return true;
  const ssize_t n = input_.Receive(socket_);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) {
    client_gone_ = true;
    return false;
  }
  return true;
}

bool Connection::Feed() {
  const auto done = protocol_->Consume(input_.bytes(), handler_.get(), output_.buffer());
  if (!done.ok()) {
    LogDebug("streaming client broke the protocol",
             {{"why", std::string(done.status().message())}});
    return false;
  }
  input_.Drop(*done);
  // The client's last SYN_REPLY does not wait for the launch.
  if (!output_.Flush().ok()) client_gone_ = true;
  handler_->AfterInput();
  return true;
}

// Closing a socket with unread bytes resets it and may destroy what the client has not read yet: so
// first our end, then what it still sends is dropped until its end.
void Connection::FlushAndClose() {
  int64_t deadline = After(kFlushMs);
  uint64_t sent = output_.sent();
  while (output_.Flush().ok() && !output_.empty()) {
    if (std::exchange(sent, output_.sent()) != output_.sent()) deadline = After(kFlushMs);
    pollfd fd{socket_, POLLOUT, 0};
    if (poll(&fd, 1, MillisUntil(deadline)) == 0 || (fd.revents & (POLLERR | POLLHUP)) != 0) break;
  }
  shutdown(socket_, SHUT_WR);
  deadline = After(kLingerMs);
  for (char buffer[4096];;) {
    pollfd fd{socket_, POLLIN, 0};
    if (poll(&fd, 1, MillisUntil(deadline)) <= 0) return;
    const ssize_t n = recv(socket_, buffer, sizeof(buffer), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
  }
}

}  // namespace

void ServeConnection(int socket, const ConnectionContext& context) {
  Connection(socket, context).Serve();
}

}  // namespace crisp::streaming
