// A streaming server with a FakeBackend, and raw clients of it.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <csignal>
#include <functional>
#include <thread>

#include "cri/streaming/server.h"
#include "fake_backend.h"
#include "spdy_client.h"
#include "websocket_client.h"

namespace crisp::streaming {

inline constexpr int kLong = 10'000;  // ms: fails the test, never decides it

class RawClient {
 public:
  explicit RawClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<uint16_t>(port));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&where), sizeof(where)), 0);
  }
  void Send(const std::string& bytes) {
    EXPECT_EQ(send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // As much of it as goes out until nothing has gone for 200 ms.
  void Cram(const std::string& bytes) {
    size_t done = 0;
    for (pollfd fd{fd_.get(), POLLOUT, 0}; done < bytes.size() && poll(&fd, 1, 200) == 1;) {
      const ssize_t n =
          send(fd_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) done += static_cast<size_t>(n);
    }
    EXPECT_LT(done, bytes.size());
  }
  // One more read into `received`; false at the end.
  bool Receive(int timeout_ms = kLong) {
    pollfd fd{fd_.get(), POLLIN, 0};
    if (poll(&fd, 1, timeout_ms) <= 0) return false;
    char buffer[65536];
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), 0);
    ended = n <= 0;
    if (ended) return false;
    received.append(buffer, static_cast<size_t>(n));
    return true;
  }
  // Up to the end of the connection, which must come from the server.
  std::string All() {
    while (Receive()) {
    }
    EXPECT_TRUE(ended) << "the server does not close";
    return std::exchange(received, "");
  }
  // Up to and with the empty line.
  std::string Head() {
    while (received.find("\r\n\r\n") == std::string::npos)
      if (!Receive()) return std::exchange(received, "");
    const size_t end = received.find("\r\n\r\n") + 4;
    const std::string head = received.substr(0, end);
    received.erase(0, end);
    return head;
  }
  std::string Frame(std::string (*take)(std::string*) = TakeFrame) {
    for (;;) {
      const std::string frame = take(&received);
      if (!frame.empty() || !Receive()) return frame;
    }
  }
  std::string SocketFrame() { return Frame(TakeServerFrame); }
  void Close() { fd_.Reset(); }
  int fd() const { return fd_.get(); }

  std::string received;
  bool ended = false;

 private:
  UniqueFd fd_;
};

inline bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < kLong / 5; i++) {
    if (condition()) return true;
    usleep(5000);
  }
  return false;
}

class WireTest : public testing::Test {
 protected:
  WireTest() {
    signal(SIGPIPE, SIG_IGN);  // as crispd does
    Restart(Options());
  }
  void Restart(const ServerOptions& options) {
    server_ = nullptr;
    auto server = StreamServer::Start(options, &urls_, &backend_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  static ServerOptions Options() {
    ServerOptions options;
    options.setup_ms = 500;
    options.head_ms = 500;
    options.probe_ms = 200;
    return options;
  }

  StreamRequest ExecRequest(bool in = false, bool out = true, bool err = false, bool tty = false) {
    StreamRequest request;
    request.id = "container";
    request.command = {"true"};
    request.in = in;
    request.out = out;
    request.err = err;
    request.tty = tty;
    return request;
  }
  StreamRequest ForwardRequest(std::vector<uint16_t> ports = {}) {
    StreamRequest request;
    request.kind = StreamKind::kPortForward;
    request.id = "sandbox";
    request.ports = std::move(ports);
    return request;
  }
  std::string PathFor(const StreamRequest& request) {
    const std::string url = urls_.Register(request).value_or("");
    return url.substr(url.find('/', 7));
  }
  std::unique_ptr<RawClient> Spdy(const StreamRequest& request,
                                  const std::string& version = "v4.channel.k8s.io") {
    auto client = std::make_unique<RawClient>(server_->port());
    client->Send("POST " + PathFor(request) +
                 " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                 "X-Stream-Protocol-Version: " +
                 version + "\r\n\r\n");
    EXPECT_THAT(client->Head(), testing::StartsWith("HTTP/1.1 101 "));
    return client;
  }
  std::unique_ptr<RawClient> Socket(const StreamRequest& request, const std::string& protocol) {
    auto client = std::make_unique<RawClient>(server_->port());
    client->Send("GET " + PathFor(request) +
                 " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Sec-WebSocket-Protocol: " +
                 protocol + "\r\n\r\n");
    EXPECT_THAT(client->Head(), testing::StartsWith("HTTP/1.1 101 "));
    return client;
  }
  // Opens streams 1, 3, 5 ... of these types.
  void Open(RawClient* client, SpdyClient* spdy, const std::vector<std::string>& types) {
    uint32_t id = 1;
    for (const std::string& type : types) {
      client->Send(spdy->Syn(id, {{"streamtype", type}}));
      EXPECT_EQ(client->Frame(), absl::StrCat("SYN_REPLY ", id));
      id += 2;
    }
  }
  void ExpectNothingLeft() {
    EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  }

  StreamUrls urls_;
  FakeBackend backend_;
  std::unique_ptr<StreamServer> server_;
  SpdyClient spdy_;
};

}  // namespace crisp::streaming
