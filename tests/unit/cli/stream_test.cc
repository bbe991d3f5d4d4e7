// The client's side of exec, attach and port-forward, as far as it needs no server.
#include "cri/cli/stream_session.h"
#include "cri/cli/stream_socket.h"
#include "cri/cli/ws_frames.h"
#include "gtest/gtest.h"

namespace crisp::cli {
namespace {

std::string Unmasked(uint8_t first, const std::string& data) {
  std::string frame(1, static_cast<char>(first));
  if (data.size() < 126) {
    frame.push_back(static_cast<char>(data.size()));
  } else {
    frame += {'\x7e', static_cast<char>(data.size() >> 8), static_cast<char>(data.size())};
  }
  return frame + data;
}

TEST(WsFrameTest, IsMaskedAndHasItsLength) {
  // RFC 6455 section 5.7: "Hello" with mask 0x37fa213d.
  EXPECT_EQ(WsFrame(kWsText, "Hello", 0x37fa213d),
            std::string("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11));
  EXPECT_EQ(WsFrame(kWsBinary, std::string(126, 'x'), 0).substr(0, 4),
            std::string("\x82\xfe\x00\x7e", 4));
  EXPECT_EQ(WsFrame(kWsBinary, std::string(65536, 'x'), 0).substr(0, 10),
            std::string("\x82\xff\0\0\0\0\0\x01\0\0", 10));
}

TEST(WsReaderTest, TakesBytesInAnyPortionsAndFragments) {
  const std::string all = Unmasked(0x02, "one") + Unmasked(0x89, "ping") + Unmasked(0x80, " two") +
                          Unmasked(0x82, std::string(300, 'x')) + Unmasked(0x88, "\x03\xe8");
  for (const size_t portion : {size_t{1}, size_t{7}, all.size()}) {
    WsReader reader;
    std::vector<WsMessage> messages;
    for (size_t at = 0; at < all.size(); at += portion)
      ASSERT_TRUE(reader.Feed(absl::string_view(all).substr(at, portion), &messages).ok());
    ASSERT_EQ(messages.size(), 4u);
    EXPECT_EQ(messages[0].opcode, kWsPing);
    EXPECT_EQ(messages[1].data, "one two");
    EXPECT_EQ(messages[2].data, std::string(300, 'x'));
    EXPECT_EQ(messages[3].opcode, kWsClose);
  }
}

TEST(WsReaderTest, RefusesWhatAServerMustNotSend) {
  const std::string bad[] = {std::string("\xc2\x00", 2),                      // reserved bit
                             std::string("\x82\x80\0\0\0\0", 6),              // masked
                             std::string("\x80\x01x", 3),                     // continues nothing
                             std::string("\x82\x7f\0\0\0\0\x01\0\0\0", 10)};  // 16 MiB
  for (const std::string& bytes : bad) {
    WsReader reader;
    std::vector<WsMessage> messages;
    EXPECT_FALSE(reader.Feed(bytes, &messages).ok());
  }
}

TEST(StreamUrlTest, IsTakenApart) {
  const auto url = ParseStreamUrl("http://[::1]:4321/exec/abc");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host + " " + url->port + " " + url->path, "::1 4321 /exec/abc");
  EXPECT_EQ(ParseStreamUrl("http://127.0.0.1:80/x")->host, "127.0.0.1");
  EXPECT_FALSE(ParseStreamUrl("http://127.0.0.1:80/x")->secure);
  EXPECT_TRUE(ParseStreamUrl("https://h:1/x")->secure);
  for (const char* bad : {"", "ftp://h:1/x", "http://h:1", "https://h:1", "http://h/x"})
    EXPECT_FALSE(ParseStreamUrl(bad).ok()) << bad;
}

TEST(UpgradeTest, NamesTheProtocolOrTheRefusal) {
  EXPECT_EQ(
      CheckUpgrade("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: v5.channel.k8s.io")
          .value_or(""),
      "v5.channel.k8s.io");
  const auto refused = CheckUpgrade("HTTP/1.1 404 Not Found\r\nContent-Length: 0");
  EXPECT_NE(refused.status().message().find("404 Not Found"), std::string::npos);
  EXPECT_FALSE(CheckUpgrade("HTTP/1.1 101 Switching Protocols\r\nX: y").ok());
  EXPECT_FALSE(CheckUpgrade("").ok());
}

TEST(StatusTest, HoldsTheExitCodeOrTheError) {
  EXPECT_EQ(ExitCodeOfStatus(R"({"metadata":{},"status":"Success"})").value_or(-1), 0);
  EXPECT_EQ(ExitCodeOfStatus(R"({"status":"Failure","reason":"NonZeroExitCode",
      "details":{"causes":[{"reason":"ExitCode","message":"7"}]}})")
                .value_or(-1),
            7);
  const auto failed = ExitCodeOfStatus(R"({"status":"Failure","message":"no \u001b such"})");
  EXPECT_EQ(failed.status().message().find('\x1b'), std::string::npos);
  EXPECT_NE(failed.status().message().find("such"), std::string::npos);
  for (const char* bad :
       {"", "[]", "{}", "7", R"({"reason":"NonZeroExitCode","details":{"causes":7}})",
        R"({"reason":"NonZeroExitCode","details":{"causes":[1,{}]}})"})
    EXPECT_FALSE(ExitCodeOfStatus(bad).ok()) << bad;
}

}  // namespace
}  // namespace crisp::cli
