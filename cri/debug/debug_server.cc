#include "cri/debug/debug_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "cri/api/unix_listener.h"
#include "cri/debug/http_request.h"
#include "runtime/base/stages.h"
#include "runtime/sys/fd.h"

namespace crisp {
namespace {

constexpr int kBacklog = 32;

// Numeric addresses only: the configuration has checked the form.
StatusOr<UniqueFd> ListenTcp(const std::string& address, int* port) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  uint32_t number = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &number) ||
      number > 65535)
    return InvalidField("metrics_address", address, "must be ADDRESS:PORT");
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(static_cast<uint16_t>(number));
  const bool is_v4 = inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1)
    return InvalidField("metrics_address", address, "is not a numeric address");
  UniqueFd fd(socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "make socket");
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  auto* where = is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  socklen_t length = is_v4 ? sizeof(v4) : sizeof(v6);
  if (bind(fd.get(), where, length) != 0) return ErrnoStatus(errno, "bind ", address);
  if (listen(fd.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen on ", address);
  getsockname(fd.get(), where, &length);
  *port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
  return fd;
}

struct Connection {
  UniqueFd fd;
  bool tcp = false;
  int64_t deadline = 0;  // monotonic
  std::string in, out;
  size_t written = 0;
  bool done = false;
};

class Server final : public DebugServer {
 public:
  explicit Server(DebugServerOptions options) : options_(std::move(options)) {}
  ~Server() override {
    if (!thread_.joinable()) return;
    eventfd_write(stop_.get(), 1);
    thread_.join();
    unlink(options_.socket_path.c_str());
  }
  int metrics_port() const override { return port_; }

  Status Listen() {
    ASSIGN_OR_RETURN(lock_, ClaimSocketPath(options_.socket_path));
    ASSIGN_OR_RETURN(unix_, ListenUnix(options_.socket_path, 0600, kBacklog));
    if (fcntl(unix_.get(), F_SETFL, O_NONBLOCK) != 0)
      return ErrnoStatus(errno, "make ", options_.socket_path, " non-blocking");
    if (!options_.metrics_address.empty()) {
      ASSIGN_OR_RETURN(tcp_, ListenTcp(options_.metrics_address, &port_));
    }
    stop_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_.valid()) return ErrnoStatus(errno, "make eventfd");
    thread_ = std::thread([this] { Loop(); });
    return absl::OkStatus();
  }

 private:
  // [0] stop, [1] unix, [2] tcp, then one for each connection.
  void Loop() {
    for (std::vector<pollfd> fds;;) {
      fds.clear();
      const bool full = connections_.size() >= static_cast<size_t>(options_.max_connections);
      fds.push_back({stop_.get(), POLLIN, 0});
      fds.push_back({full ? -1 : unix_.get(), POLLIN, 0});
      fds.push_back({full ? -1 : tcp_.get(), POLLIN, 0});
      for (const Connection& c : connections_)
        fds.push_back({c.fd.get(), static_cast<short>(c.out.empty() ? POLLIN : POLLOUT), 0});
      if (poll(fds.data(), fds.size(), Timeout()) < 0 && errno != EINTR) return;
      if (fds[0].revents != 0) return;
      Serve(fds);
      if (fds[1].revents != 0) Accept(unix_, false);
      if (fds[2].revents != 0) Accept(tcp_, true);
    }
  }

  int Timeout() const {
    if (connections_.empty()) return -1;
    int64_t next = INT64_MAX;
    for (const Connection& c : connections_) next = std::min(next, c.deadline);
    const int64_t left = (next - MonotonicNanos() + 999'999) / 1'000'000;
    return static_cast<int>(std::clamp<int64_t>(left, 0, options_.deadline_ms));
  }

  void Accept(const UniqueFd& listener, bool tcp) {
    const int fd = accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    Connection& c = connections_.emplace_back();
    c.fd.Reset(fd);
    c.tcp = tcp;
    c.deadline = MonotonicNanos() + int64_t{options_.deadline_ms} * 1'000'000;
  }

  void Serve(const std::vector<pollfd>& fds) {
    const int64_t now = MonotonicNanos();
    size_t i = 3;
    for (Connection& c : connections_) {
      if (fds[i++].revents != 0) Step(&c);
      if (now >= c.deadline) c.done = true;
    }
    connections_.remove_if([](const Connection& c) { return c.done; });
  }

  void Step(Connection* c) {
    if (c->out.empty()) Receive(c);
    if (!c->out.empty() && !c->done) Send(c);
  }

  void Receive(Connection* c) {
    char buffer[4096];
    const ssize_t n = recv(c->fd.get(), buffer, sizeof(buffer), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      c->done = true;
      return;
    }
    c->in.append(buffer, static_cast<size_t>(n));
    HttpRequest request;
    switch (ParseHttpRequest(c->in, &request)) {
      case HttpParse::kIncomplete:
        return;
      case HttpParse::kComplete:
        c->out = Answer(request, c->tcp);
        return;
      case HttpParse::kBad:
        c->out = HttpResponse(400, "text/plain", "bad request\n", true);
        return;
      case HttpParse::kTooLarge:
        c->out = HttpResponse(431, "text/plain", "request head is larger than 8 KiB\n", true);
        return;
    }
  }

  std::string Answer(const HttpRequest& request, bool tcp) const {
    const bool head = request.method == "HEAD";
    if (!head && request.method != "GET")
      return HttpResponse(405, "text/plain", "GET and HEAD only\n", true);
    const auto page = options_.pages.find(request.path);
    if (page == options_.pages.end() || (tcp && request.path != "/metrics"))
      return HttpResponse(404, "text/plain", "no such page\n", !head);
    return HttpResponse(200, page->second.type, page->second.body(), !head);
  }

  void Send(Connection* c) {
    const ssize_t n = send(c->fd.get(), c->out.data() + c->written, c->out.size() - c->written,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) c->written += static_cast<size_t>(n);
    if (n >= 0 && c->written < c->out.size()) return;
    shutdown(c->fd.get(), SHUT_WR);
    c->done = true;
  }

  const DebugServerOptions options_;
  UniqueFd lock_, unix_, tcp_, stop_;
  int port_ = 0;
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace

StatusOr<std::unique_ptr<DebugServer>> DebugServer::Start(DebugServerOptions options) {
  auto server = std::make_unique<Server>(std::move(options));
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<DebugServer>(std::move(server));
}

}  // namespace crisp
