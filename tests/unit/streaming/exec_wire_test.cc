// Exec over the whole server, by raw frames.
#include <sys/ioctl.h>

#include "wire_rig.h"

namespace crisp::streaming {
namespace {

using testing::AnyOf;
using testing::StartsWith;

constexpr char kSuccess[] = "DATA 1 [{\"metadata\":{},\"status\":\"Success\"}]";

void Say(const UniqueFd& fd, const std::string& text) {
  ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string Hear(const UniqueFd& fd, size_t n) {
  std::string text(n, '\0');
  size_t done = 0;
  while (done < n) {
    const ssize_t got = read(fd.get(), text.data() + done, n - done);
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

TEST_F(WireTest, SpdyExecFromEndToEnd) {
  const auto client = Spdy(ExecRequest(true, true, true));
  Open(client.get(), &spdy_, {"error", "stdin", "stdout", "stderr"});
  const auto process = backend_.Next();
  ASSERT_NE(process, nullptr);
  client->Send(SpdyClient::Data(3, "hello", true));
  EXPECT_EQ(Hear(process->in, 6), "hello") << "and its end";
  EXPECT_TRUE(Eventually([&] { return process->stdin_ended.load(); }));
  Say(process->out, "out");
  EXPECT_EQ(client->Frame(), "DATA 5 [out]");
  Say(process->err, "err");
  EXPECT_EQ(client->Frame(), "DATA 7 [err]");
  process->Exit(0);
  EXPECT_THAT(client->Frame(), AnyOf("DATA 5 FIN", "DATA 7 FIN"));
  EXPECT_THAT(client->Frame(), AnyOf("DATA 5 FIN", "DATA 7 FIN"));
  EXPECT_EQ(client->Frame(), kSuccess);
  EXPECT_EQ(client->Frame(), "DATA 1 FIN");
  EXPECT_EQ(client->Frame(), "GOAWAY 7 0");
  EXPECT_EQ(client->All(), "");
  EXPECT_TRUE(process->session_gone);
  client->Close();
  ExpectNothingLeft();
}

TEST_F(WireTest, ExitCodeAndLastBytesArrive) {
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"stdout", "error"});  // the order is the client's
  const auto process = backend_.Next();
  Say(process->out, std::string(60'000, 'x'));
  process->Exit(7);
  const std::string all = client->All();
  size_t x = 0;
  for (const char c : all) x += c == 'x';
  EXPECT_GE(x, 60'000);
  EXPECT_THAT(all, testing::HasSubstr("{\"reason\":\"ExitCode\",\"message\":\"7\"}"));
}

TEST_F(WireTest, FailureToStart) {
  StreamRequest request = ExecRequest();
  request.command = {"fail"};
  const auto client = Spdy(request);
  Open(client.get(), &spdy_, {"error", "stdout"});
  EXPECT_EQ(client->Frame(), "DATA 3 FIN");
  EXPECT_THAT(client->Frame(), testing::HasSubstr("no such program"));
}

TEST_F(WireTest, OldVersionsEndWithText) {
  for (const std::string version : {"v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}) {
    const auto client = Spdy(ExecRequest(), version);
    SpdyClient spdy;
    Open(client.get(), &spdy, {"error", "stdout"});
    backend_.Next()->Exit(3);
    EXPECT_EQ(client->Frame(), "DATA 3 FIN");
    EXPECT_EQ(client->Frame(), "DATA 1 [command terminated with exit code 3]");
  }
}

TEST_F(WireTest, StdinBeforeTheLastStreamIsKept) {
  const auto client = Spdy(ExecRequest(true));
  client->Send(
      InOrder({spdy_.Syn(1, {{"streamtype", "stdin"}}), SpdyClient::Data(1, "early", true),
               spdy_.Syn(3, {{"streamtype", "error"}}), spdy_.Syn(5, {{"streamtype", "stdout"}})}));
  const auto process = backend_.Next();
  ASSERT_NE(process, nullptr);
  EXPECT_EQ(Hear(process->in, 6), "early");
}

TEST_F(WireTest, SecondStdinUnknownAndUnaskedAreRefused) {
  const auto client = Spdy(ExecRequest(true));
  Open(client.get(), &spdy_, {"stdin"});
  client->Send(spdy_.Syn(3, {{"streamtype", "stdin"}}));
  EXPECT_EQ(client->Frame(), "RST 3 3");
  client->Send(spdy_.Syn(5, {{"streamtype", "what"}}));
  EXPECT_EQ(client->Frame(), "RST 5 3");
  client->Send(spdy_.Syn(7, {{"streamtype", "stderr"}}));
  EXPECT_EQ(client->Frame(), "RST 7 3");
  client->Send(spdy_.Syn(9, {}));
  EXPECT_EQ(client->Frame(), "RST 9 3");
}

TEST_F(WireTest, MissingStreamEndsAtTheDeadline) {
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"error"});
  EXPECT_THAT(client->Frame(), testing::HasSubstr("not all of them came"));
  client->All();
}

TEST_F(WireTest, VanishedClientEndsTheSession) {
  for (const bool blocked : {false, true}) {
    SpdyClient spdy;
    const auto client = Spdy(ExecRequest(true));
    Open(client.get(), &spdy, {"error", "stdin", "stdout"});
    const auto process = backend_.Next();
    // A stdin that nobody reads: the server has stopped reading its client, and still sees it go.
    // So much that the client's end stands behind bytes that never get through.
    if (blocked) client->Cram(SpdyClient::Data(3, std::string(16'000'000, 'x')));
    client->Close();
    EXPECT_TRUE(Eventually([&] { return process->session_gone.load(); })) << blocked;
  }
  ExpectNothingLeft();
}

TEST_F(WireTest, ReaderWhoStopsBlocksTheProcessAlone) {
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"error", "stdout"});
  const auto slow = backend_.Next();
  fcntl(slow->out.get(), F_SETFL, O_NONBLOCK);
  const std::string piece(4096, 's');
  size_t written = 0;
  // Full for a whole second: what the kernel's buffers take is taken.
  for (int idle = 0; idle < 100;) {
    const ssize_t n = write(slow->out.get(), piece.data(), piece.size());
    if (n > 0) written += static_cast<size_t>(n);
    idle = n > 0 ? 0 : idle + 1;
    if (n <= 0) usleep(10'000);
    ASSERT_LT(written, size_t{64} << 20) << "no back-pressure";
  }
  SpdyClient spdy;
  const auto other = Spdy(ExecRequest());
  Open(other.get(), &spdy, {"error", "stdout"});
  const auto quick = backend_.Next();
  Say(quick->out, "quick");
  EXPECT_EQ(other->Frame(), "DATA 3 [quick]");
  slow->Exit(0);
  const std::string all = client->All();
  size_t s = 0;
  for (const char c : all) s += c == 's';
  EXPECT_GE(s, written) << "and nothing is lost";
}

TEST_F(WireTest, StdinIsHeldBackAndCompleted) {
  const auto client = Spdy(ExecRequest(true));
  Open(client.get(), &spdy_, {"error", "stdin", "stdout"});
  const auto process = backend_.Next();
  std::string all;
  for (int i = 0; i < 100'000; i++) absl::StrAppend(&all, i, " ");
  client->Send(SpdyClient::Data(3, all, true));
  EXPECT_EQ(Hear(process->in, all.size() + 1), all);
}

TEST_F(WireTest, ProcessThatClosedItsStdinDropsTheRest) {
  const auto client = Spdy(ExecRequest(true));
  Open(client.get(), &spdy_, {"error", "stdin", "stdout"});
  const auto process = backend_.Next();
  process->in.Reset();
  for (int i = 0; i < 50; i++) client->Send(SpdyClient::Data(3, std::string(10'000, 'x')));
  client->Send(SpdyClient::Control(6, Be32(1)));
  EXPECT_EQ(client->Frame(), "PING 1");
}

TEST_F(WireTest, ResizeFloodIsOneCallOrFew) {
  const auto client = Spdy(ExecRequest(false, true, false, true));
  Open(client.get(), &spdy_, {"error", "stdout", "resize"});
  const auto process = backend_.Next();
  std::string flood;
  for (int i = 0; i < 1000; i++) flood += SpdyClient::Data(5, R"({"Width":1,"Height":1})");
  client->Send(flood + SpdyClient::Data(5, R"({"Width":123,"Height":45})"));
  EXPECT_TRUE(Eventually([&] { return process->width == 123; }));
  EXPECT_LT(process->resizes, 100);
}

TEST_F(WireTest, ChildThatHoldsTheOutputDoesNotHoldTheSession) {
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"error", "stdout"});
  const auto process = backend_.Next();
  Say(process->out, "bye");
  eventfd_write(process->ended.get(), 1);  // ended, but `out` stays open
  EXPECT_EQ(client->Frame(), "DATA 3 [bye]");
  EXPECT_EQ(client->Frame(), "DATA 3 FIN");
  EXPECT_EQ(client->Frame(), kSuccess);
}

TEST_F(WireTest, WebSocketExec) {
  const auto client = Socket(ExecRequest(true, true, true), "v5.channel.k8s.io");
  const auto process = backend_.Next();
  ASSERT_NE(process, nullptr);
  EXPECT_EQ(client->SocketFrame(), "82 [\x01]") << "the sign that it stands";
  client->Send(Message(std::string("\0hi", 3)) + Message(std::string("\xff\0", 2)));
  EXPECT_EQ(Hear(process->in, 3), "hi");
  Say(process->out, "out");
  EXPECT_EQ(client->SocketFrame(), "82 [\x01out]");
  Say(process->err, "err");
  EXPECT_EQ(client->SocketFrame(),
            "82 [\x02"
            "err]");
  client->Send(ClientFrame(0x89, "p"));
  EXPECT_EQ(client->SocketFrame(), "8a [p]");
  process->Exit(1);
  EXPECT_THAT(client->SocketFrame(), testing::HasSubstr("NonZeroExitCode"));
  EXPECT_EQ(client->SocketFrame(), "close 1000");
  EXPECT_EQ(client->All(), "");
}

TEST_F(WireTest, WebSocketBase64AndNameless) {
  const auto client = Socket(ExecRequest(true), "v4.base64.channel.k8s.io");
  const auto process = backend_.Next();
  EXPECT_EQ(client->SocketFrame(), "81 [1]");
  client->Send(ClientFrame(0x81, "0aGVsbG8="));
  EXPECT_EQ(Hear(process->in, 5), "hello");
  Say(process->out, "hello");
  EXPECT_EQ(client->SocketFrame(), "81 [1aGVsbG8=]");
  process->Exit(0);
  EXPECT_THAT(client->SocketFrame(), StartsWith("81 [3"));
}

TEST_F(WireTest, GarbageEndsTheConnectionAndTheProcess) {
  const auto client = Spdy(ExecRequest());
  Open(client.get(), &spdy_, {"error", "stdout"});
  const auto process = backend_.Next();
  client->Send(std::string(64, '\xff'));
  EXPECT_EQ(client->Frame(), "GOAWAY 3 1");
  EXPECT_TRUE(Eventually([&] { return process->session_gone.load(); }));
  const auto socket = Socket(ExecRequest(), "v4.channel.k8s.io");
  const auto second = backend_.Next();
  socket->Send(ClientFrame(0x82, "x", /*masked=*/false));
  EXPECT_EQ(socket->SocketFrame(), "82 [\x01]");
  EXPECT_EQ(socket->SocketFrame(), "close 1002");
  EXPECT_TRUE(Eventually([&] { return second->session_gone.load(); }));
}

TEST_F(WireTest, PingFloodIsAnsweredWithoutPilingUp) {
  const auto client = Spdy(ExecRequest());
  std::string flood;
  for (uint32_t i = 0; i < 20'000; i++) flood += SpdyClient::Control(6, Be32(2 * i + 1));
  std::thread sender([&] { client->Send(flood); });
  for (uint32_t i = 0; i < 20'000; i++)
    ASSERT_EQ(client->Frame(), absl::StrCat("PING ", 2 * i + 1));
  sender.join();
}

}  // namespace
}  // namespace crisp::streaming
