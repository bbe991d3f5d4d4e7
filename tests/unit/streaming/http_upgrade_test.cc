#include "cri/streaming/http_upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace crisp::streaming {
namespace {

using testing::HasSubstr;
using testing::Not;

HeadParse Parse(const std::string& text, UpgradeHead* head) {
  size_t size = 0;
  return ParseUpgradeHead(text, head, &size);
}

std::string Request(const std::string& headers, const std::string& method = "POST") {
  return method + " /exec/TOKEN?x=1 HTTP/1.1\r\nHost: 10.0.0.1\r\n" + headers + "\r\n";
}

Handshake Shake(const std::string& headers, StreamKind kind = StreamKind::kExec,
                const std::string& method = "POST") {
  UpgradeHead head;
  EXPECT_EQ(Parse(Request(headers, method), &head), HeadParse::kComplete);
  return Negotiate(head, kind);
}

constexpr char kSpdy[] = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
constexpr char kSocket[] =
    "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-Websocket-Version: 13\r\n"
    "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

TEST(UpgradeHeadTest, SplitsOffWhatFollows) {
  UpgradeHead head;
  size_t size = 0;
  const std::string text = Request("Content-Length: 0\r\nA: b\r\n");
  EXPECT_EQ(ParseUpgradeHead(text + "SPDY", &head, &size), HeadParse::kComplete);
  EXPECT_EQ(size, text.size());
  EXPECT_EQ(head.path, "/exec/TOKEN");
  EXPECT_EQ(*head.Find("a"), "b");
  for (size_t i = 0; i < text.size(); i++)
    EXPECT_EQ(Parse(text.substr(0, i), &head), HeadParse::kIncomplete);
}

TEST(UpgradeHeadTest, Refusals) {
  UpgradeHead head;
  for (const std::string bad :
       {"GET /\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET x HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n", "GET /a\x01 HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n",
        "\x16\x03\x01\r\n\r\n", "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"})
    EXPECT_EQ(Parse(bad, &head), HeadParse::kBad) << bad;
}

TEST(UpgradeHeadTest, Limits) {
  UpgradeHead head;
  const std::string start = "GET / HTTP/1.1\r\nA: ", end = "\r\n\r\n";
  const size_t rest = kMaxHead - start.size();
  EXPECT_EQ(Parse(start + std::string(rest, 'x') + end, &head), HeadParse::kComplete);
  EXPECT_EQ(Parse(start + std::string(rest + 1, 'x') + end, &head), HeadParse::kTooLarge);
  EXPECT_EQ(Parse("GET /" + std::string(1 << 20, 'x'), &head), HeadParse::kTooLarge);
  std::string many = "GET / HTTP/1.1\r\n";
  for (size_t i = 1; i < kMaxHeadLines; i++) many += "A: b\r\n";
  EXPECT_EQ(Parse(many + "\r\n", &head), HeadParse::kComplete);
  EXPECT_EQ(Parse(many + "A: b\r\n\r\n", &head), HeadParse::kTooLarge);
}

TEST(NegotiateTest, SpdyAnswersV4WhenV5IsOfferedFirst) {
  const Handshake shake = Shake(absl::StrCat(kSpdy,
                                             "X-Stream-Protocol-Version: v5.channel.k8s.io\r\n"
                                             "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
                                             "X-Stream-Protocol-Version: channel.k8s.io\r\n"));
  EXPECT_TRUE(shake.accepted);
  EXPECT_EQ(shake.version, 4);
  EXPECT_EQ(shake.answer,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
}

TEST(NegotiateTest, TheClientsOrderCounts) {
  EXPECT_EQ(Shake(absl::StrCat(kSpdy,
                               "X-Stream-Protocol-Version: v2.channel.k8s.io,v4.channel."
                               "k8s.io\r\n"))
                .version,
            2);
  EXPECT_EQ(Shake(absl::StrCat(kSpdy, "x-stream-protocol-version: channel.k8s.io\r\n")).version, 1);
}

TEST(NegotiateTest, SpdyRefusals) {
  EXPECT_THAT(Shake(kSpdy).answer, HasSubstr("HTTP/1.1 400"));
  EXPECT_THAT(
      Shake(absl::StrCat(kSpdy, "X-Stream-Protocol-Version: v9\r\n")).answer,
      testing::AllOf(HasSubstr("HTTP/1.1 403"),
                     HasSubstr("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io, v3")));
  EXPECT_THAT(Shake("Upgrade: SPDY/3.1\r\n").answer, HasSubstr("HTTP/1.1 400"));
  EXPECT_THAT(Shake("Connection: Upgrade\r\nUpgrade: h2c\r\n").answer, HasSubstr("HTTP/1.1 400"));
  EXPECT_THAT(Shake(absl::StrCat(kSpdy, "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"),
                    StreamKind::kPortForward)
                  .answer,
              HasSubstr("HTTP/1.1 403"));
}

TEST(NegotiateTest, PortForward) {
  EXPECT_TRUE(Shake(absl::StrCat(kSpdy, "X-Stream-Protocol-Version: portforward.k8s.io\r\n"),
                    StreamKind::kPortForward)
                  .accepted);
  const Handshake tunnel =
      Shake(absl::StrCat(kSocket, "Sec-Websocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"),
            StreamKind::kPortForward, "GET");
  EXPECT_TRUE(tunnel.accepted);
  EXPECT_EQ(tunnel.wire, WireKind::kTunnel);
  EXPECT_THAT(tunnel.answer, Not(HasSubstr("X-Stream-Protocol-Version")));
}

TEST(NegotiateTest, WebSocket) {
  const Handshake v5 = Shake(absl::StrCat(kSocket, "Sec-Websocket-Protocol: v5.channel.k8s.io\r\n"),
                             StreamKind::kExec, "GET");
  EXPECT_EQ(v5.version, 5);
  EXPECT_THAT(v5.answer, HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_THAT(v5.answer, HasSubstr("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
  const Handshake b64 =
      Shake(absl::StrCat(kSocket, "Sec-Websocket-Protocol: nope, base64.channel.k8s.io\r\n"),
            StreamKind::kExec, "GET");
  EXPECT_TRUE(b64.base64);
  EXPECT_EQ(b64.version, 1);
  const Handshake nameless = Shake(kSocket, StreamKind::kExec, "GET");
  EXPECT_TRUE(nameless.accepted);
  EXPECT_THAT(nameless.answer, Not(HasSubstr("Sec-WebSocket-Protocol")));
}

TEST(NegotiateTest, WebSocketRefusals) {
  EXPECT_THAT(Shake(kSocket, StreamKind::kExec, "POST").answer, HasSubstr("HTTP/1.1 400"));
  EXPECT_THAT(
      Shake(absl::StrCat(kSocket, "Sec-Websocket-Protocol: v9\r\n"), StreamKind::kExec, "GET")
          .answer,
      HasSubstr("HTTP/1.1 403"));
  EXPECT_THAT(Shake("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                    StreamKind::kExec, "GET")
                  .answer,
              HasSubstr("HTTP/1.1 426"));
  EXPECT_THAT(Shake("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: short\r\n",
                    StreamKind::kExec, "GET")
                  .answer,
              HasSubstr("HTTP/1.1 400"));
}

}  // namespace
}  // namespace crisp::streaming
