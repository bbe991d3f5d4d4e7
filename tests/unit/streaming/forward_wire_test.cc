// Port-forward over the whole server, by raw frames, and what the server refuses at the door.
#include <fstream>

#include "wire_rig.h"

namespace crisp::streaming {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A listener on loopback whose connections the test plays.
class Target {
 public:
  explicit Target(int family = AF_INET) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    auto* where =
        family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);
    good = bind(fd_.get(), where, length) == 0 && listen(fd_.get(), 2000) == 0;
    getsockname(fd_.get(), where, &length);
    port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
  }
  UniqueFd Accept() {
    pollfd fd{fd_.get(), POLLIN, 0};
    return UniqueFd(poll(&fd, 1, kLong) == 1 ? accept(fd_.get(), nullptr, nullptr) : -1);
  }
  void Close() { fd_.Reset(); }
  bool good = false;
  uint16_t port = 0;

 private:
  UniqueFd fd_;
};

std::string Recv(const UniqueFd& fd, size_t n) {
  std::string text(n, '\0');
  text.resize(
      static_cast<size_t>(std::max<ssize_t>(recv(fd.get(), text.data(), n, MSG_WAITALL), 0)));
  return text;
}

class ForwardTest : public WireTest {
 protected:
  std::string Pair(uint32_t id, int port, const std::string& request) {
    const HeaderList common = {{"port", absl::StrCat(port)}, {"requestid", request}};
    HeaderList error = common, data = common;
    error.emplace_back("streamtype", "error");
    data.emplace_back("streamtype", "data");
    return InOrder({spdy_.Syn(id, error), SpdyClient::Data(id, "", true), spdy_.Syn(id + 2, data)});
  }
  std::unique_ptr<RawClient> Client(StreamRequest request) {
    return Spdy(request, "portforward.k8s.io");
  }
};

TEST_F(ForwardTest, BothWaysAndBothEnds) {
  Target target;
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, target.port, "0"));
  EXPECT_EQ(client->Frame(), "SYN_REPLY 1");
  EXPECT_EQ(client->Frame(), "SYN_REPLY 3");
  const UniqueFd end = target.Accept();
  client->Send(SpdyClient::Data(3, "ping", true));
  EXPECT_EQ(Recv(end, 5), "ping");
  EXPECT_EQ(send(end.get(), "pong", 4, 0), 4) << "half closed, not closed";
  EXPECT_EQ(client->Frame(), "DATA 3 [pong]");
  shutdown(end.get(), SHUT_WR);
  EXPECT_EQ(client->Frame(), "DATA 3 FIN");
  EXPECT_EQ(client->Frame(), "DATA 1 FIN");
  client->Send(Pair(5, target.port, "1"));  // the session goes on
  EXPECT_EQ(client->Frame(), "SYN_REPLY 5");
}

TEST_F(ForwardTest, SixWhenFourIsRefused) {
  Target six(AF_INET6);
  if (!six.good) GTEST_SKIP() << "no IPv6 here";
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, six.port, "0") + SpdyClient::Data(3, "hi"));
  EXPECT_EQ(Recv(six.Accept(), 2), "hi");
}

TEST_F(ForwardTest, ARefusedPortEndsItsPairAlone) {
  Target target;
  const int closed = target.port;
  target.Close();
  Target open;
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, closed, "0"));
  client->Frame();
  EXPECT_EQ(client->Frame(), "SYN_REPLY 3");
  EXPECT_THAT(client->Frame(), testing::MatchesRegex("DATA 1 .forward port.*ECONNREFUSED.*"));
  EXPECT_EQ(client->Frame(), "DATA 1 FIN");
  EXPECT_EQ(client->Frame(), "RST 3 5");
  client->Send(SpdyClient::Data(3, "late"));
  client->Send(Pair(5, open.port, "1") + SpdyClient::Data(7, "fine"));
  EXPECT_EQ(Recv(open.Accept(), 4), "fine");
}

TEST_F(ForwardTest, WithoutIpv6TheAnswerOfIpv4IsTold) {
  backend_.no_ipv6 = true;
  Target target;
  const int closed = target.port;
  target.Close();
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, closed, "0"));
  client->Frame();
  client->Frame();
  EXPECT_THAT(client->Frame(), HasSubstr("ECONNREFUSED"));
}

TEST_F(ForwardTest, AResetTargetEndsItsPairAlone) {
  Target target;
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, target.port, "0"));
  UniqueFd end = target.Accept();
  client->Frame();
  client->Frame();
  const linger hard{1, 0};
  setsockopt(end.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  end.Reset();
  EXPECT_EQ(client->Frame(), "RST 3 5");
  EXPECT_EQ(client->Frame(), "DATA 1 FIN") << "without a text";
  client->Send(Pair(5, target.port, "1") + SpdyClient::Data(7, "fine"));
  EXPECT_EQ(Recv(target.Accept(), 4), "fine");
}

TEST_F(ForwardTest, AClientsResetClosesTheTarget) {
  Target target;
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, target.port, "0"));
  const UniqueFd end = target.Accept();
  client->Send(SpdyClient::Control(3, Be32(3) + Be32(5)));
  EXPECT_EQ(Recv(end, 1), "");
}

TEST_F(ForwardTest, BadHeadersAreRefused) {
  const auto client = Client(ForwardRequest());
  uint32_t id = 1;
  for (const std::string port : {"0", "-1", "65536", "x", "", "99999999999"}) {
    client->Send(spdy_.Syn(id, {{"streamtype", "error"}, {"port", port}, {"requestid", "0"}}));
    EXPECT_EQ(client->Frame(), absl::StrCat("RST ", id, " 3")) << port;
    id += 2;
  }
  client->Send(spdy_.Syn(id, {{"streamtype", "what"}, {"port", "80"}}));
  EXPECT_EQ(client->Frame(), absl::StrCat("RST ", id, " 3"));
  // Two error streams of one request.
  const HeaderList error = {{"streamtype", "error"}, {"port", "80"}, {"requestid", "7"}};
  client->Send(InOrder({spdy_.Syn(id + 2, error), spdy_.Syn(id + 4, error)}));
  client->Frame();
  EXPECT_EQ(client->Frame(), absl::StrCat("RST ", id + 4, " 3"));
}

TEST_F(ForwardTest, WithoutRequestIds) {
  Target target;
  const auto client = Client(ForwardRequest());
  const std::string port = absl::StrCat(target.port);
  client->Send(InOrder({spdy_.Syn(1, {{"streamtype", "error"}, {"port", port}}),
                        spdy_.Syn(3, {{"streamtype", "data"}, {"port", port}}),
                        SpdyClient::Data(3, "old")}));
  EXPECT_EQ(Recv(target.Accept(), 3), "old");
}

TEST_F(ForwardTest, AnIncompletePairEndsAtTheDeadline) {
  const auto client = Client(ForwardRequest());
  client->Send(spdy_.Syn(1, {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}}));
  EXPECT_EQ(client->Frame(), "SYN_REPLY 1");
  EXPECT_THAT(client->Frame(), HasSubstr("did not come"));
  client->Send(SpdyClient::Control(6, Be32(1)));
  EXPECT_EQ(client->Frame(), "DATA 1 FIN");
  EXPECT_EQ(client->Frame(), "PING 1");
}

TEST_F(ForwardTest, GoneSandbox) {
  StreamRequest request = ForwardRequest();
  request.id = "gone";
  const auto client = Client(request);
  client->Send(Pair(1, 80, "0"));
  client->Frame();
  client->Frame();
  EXPECT_THAT(client->Frame(), HasSubstr("sandbox gone"));
}

TEST_F(ForwardTest, ManyAtOnceEachWithItsOwnBytes) {
  constexpr uint32_t kMany = 300;
  Target target;
  const auto client = Client(ForwardRequest());
  std::thread sender([&] {
    for (uint32_t i = 0; i < kMany; i++)
      client->Send(Pair(1 + 4 * i, target.port, absl::StrCat(i)) +
                   SpdyClient::Data(3 + 4 * i, absl::StrCat(100'000 + i), true));
  });
  std::vector<UniqueFd> ends;
  for (uint32_t i = 0; i < kMany; i++) {
    ends.push_back(target.Accept());
    const std::string number = Recv(ends.back(), 6);
    ASSERT_EQ(number.size(), 6);
    send(ends.back().get(), number.data(), 6, 0);
  }
  ends.clear();
  sender.join();
  uint32_t back = 0, over = 0;
  while (over < kMany) {
    const std::string frame = client->Frame();
    ASSERT_FALSE(frame.empty());
    uint32_t id = 0, number = 0;
    if (sscanf(frame.c_str(), "DATA %u [%u]", &id, &number) == 2) {
      EXPECT_EQ(number, 100'000 + (id - 3) / 4);
      back++;
    } else if (sscanf(frame.c_str(), "DATA %u FIN", &id) == 1 && id % 4 == 1) {
      over++;
    }
  }
  EXPECT_EQ(back, kMany);
}

TEST_F(ForwardTest, AStuckTargetBlocksNoOtherWayOut) {
  Target stuck, target;
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, target.port, "0"));
  const UniqueFd end = target.Accept();
  client->Send(Pair(5, stuck.port, "1"));
  const UniqueFd silent = stuck.Accept();
  for (int i = 0; i < 4; i++) client->Frame();
  client->Send(SpdyClient::Data(7, std::string(100'000, 'x')));
  send(end.get(), "alive", 5, 0);
  EXPECT_EQ(client->Frame(), "DATA 3 [alive]");
}

// Much of it moves by splice, in large frames; what follows a flood waits for nothing more.
TEST_F(ForwardTest, AFloodArrivesByteForByteAndItsLastBytesAtOnce) {
  Target target;
  const auto client = Client(ForwardRequest());
  client->Send(Pair(1, target.port, "0"));
  const UniqueFd there = target.Accept();
  std::string sent;
  for (uint32_t i = 0; sent.size() < 24'000'000; i++) absl::StrAppend(&sent, i, " ");
  std::thread sender([&] {
    for (size_t at = 0; at < sent.size(); at += 4096)  // as many programs write
      EXPECT_GT(send(there.get(), sent.data() + at, std::min<size_t>(4096, sent.size() - at), 0),
                0);
  });
  std::string got;
  const auto take = [&](size_t until) {
    while (got.size() < until) {
      while (client->received.size() < 8)
        if (!client->Receive()) return;
      const auto byte = [&](size_t i) { return static_cast<unsigned char>(client->received[i]); };
      const size_t size = size_t{byte(5)} << 16 | size_t{byte(6)} << 8 | byte(7);
      while (client->received.size() < 8 + size)
        if (!client->Receive()) return;
      if ((byte(0) & 0x80) == 0) {
        got += client->received.substr(8, size);
      }
      client->received.erase(0, 8 + size);
    }
  };
  take(sent.size());
  sender.join();
  EXPECT_TRUE(got == sent) << got.size() << " bytes of " << sent.size();
  for (const std::string last : {"one", "two"}) {
    got.clear();
    ASSERT_EQ(send(there.get(), last.data(), last.size(), 0), 3);
    take(3);
    EXPECT_EQ(got, last);
  }
}

TEST_F(ForwardTest, Channels) {
  Target target;
  const std::string port = {static_cast<char>(target.port & 0xff),
                            static_cast<char>(target.port >> 8)};
  const auto client = Socket(ForwardRequest({target.port}), "v4.channel.k8s.io");
  EXPECT_EQ(client->SocketFrame(), std::string("82 [\0", 5) + port + "]");
  EXPECT_EQ(client->SocketFrame(), "82 [\x01" + port + "]");
  UniqueFd end = target.Accept();
  client->Send(Message(std::string("\0ping", 5)));
  EXPECT_EQ(Recv(end, 4), "ping");
  send(end.get(), "pong", 4, 0);
  EXPECT_EQ(client->SocketFrame(), std::string("82 [\0pong]", 10));
  end.Reset();
  EXPECT_EQ(client->SocketFrame(), "close 1000");
}

TEST_F(ForwardTest, Tunnel) {
  Target target;
  const auto client = Socket(ForwardRequest(), "SPDY/3.1+portforward.k8s.io");
  client->Send(Message(Pair(1, target.port, "0") + SpdyClient::Data(3, "deep")));
  EXPECT_EQ(Recv(target.Accept(), 4), "deep");
}

TEST_F(WireTest, RefusedAtTheDoor) {
  const auto ask = [&](const std::string& bytes) {
    RawClient client(server_->port());
    client.Send(bytes);
    return client.All();
  };
  const std::string upgrade =
      " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: "
      "v4.channel.k8s.io\r\n\r\n";
  EXPECT_THAT(ask("POST /exec/" + std::string(43, 'A') + upgrade), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("GET /" + upgrade), StartsWith("HTTP/1.1 404 "));
  const std::string path = PathFor(ExecRequest());
  EXPECT_THAT(ask("PUT " + path + upgrade), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("POST " + path + " HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("POST " + path + upgrade), StartsWith("HTTP/1.1 404 ")) << "it was used";
  EXPECT_THAT(ask("GET /" + std::string(20'000, 'x')), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(ask("\x16\x03\x01\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(ask("GET /slow"), "") << "no head in time";
  ExpectNothingLeft();
}

TEST_F(WireTest, OpenedAndDroppedAtAnyStageLeaveNothing) {
  const auto descriptors = [] {
    int n = 0;
    for (int fd = 0; fd < 4096; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
  };
  const int before = descriptors();
  for (int i = 0; i < 200; i++) {
    SpdyClient spdy;
    RawClient client(server_->port());
    const int stage = i % 5;
    if (stage > 0) client.Send("POST " + PathFor(ExecRequest(true)));
    if (stage > 1)
      client.Send(
          " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
          "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
    if (stage > 2) client.Send(spdy.Syn(1, {{"streamtype", "error"}}));
    if (stage > 3)
      client.Send(InOrder(
          {spdy.Syn(3, {{"streamtype", "stdin"}}), spdy.Syn(5, {{"streamtype", "stdout"}})}));
    if (stage > 3) {
      ASSERT_NE(backend_.Next(), nullptr);
    }
  }
  ExpectNothingLeft();
  EXPECT_TRUE(Eventually([&] { return descriptors() == before; }))
      << descriptors() << " " << before;
}

TEST_F(WireTest, SilenceForTooLongEndsTheSession) {
  EXPECT_EQ(ServerOptions().idle_ms, 4 * 3600 * 1000);
  ServerOptions options = Options();
  options.idle_ms = 200;
  Restart(options);
  const auto client = Socket(ExecRequest(), "v4.channel.k8s.io");
  const auto process = backend_.Next();
  ASSERT_NE(process, nullptr);
  client->All();
  EXPECT_TRUE(Eventually([&] { return process->session_gone.load(); }));
}

TEST_F(WireTest, NoMoreConnectionsThanAllowed) {
  EXPECT_EQ(ServerOptions().max_connections, 1024);
  ServerOptions options = Options();
  options.head_ms = kLong;
  options.max_connections = 2;
  Restart(options);
  RawClient first(server_->port());
  RawClient second(server_->port());
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 2; }));
  EXPECT_EQ(RawClient(server_->port()).All(), "");
  first.Close();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 1; }));
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"error", "stdout"});
}

TEST_F(WireTest, TheServersEndEndsItsSessions) {
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"error", "stdout"});
  const auto process = backend_.Next();
  server_ = nullptr;
  EXPECT_TRUE(process->session_gone);
  EXPECT_FALSE(urls_.Register(ExecRequest()).ok());
}

}  // namespace
}  // namespace crisp::streaming
