#include "cri/streaming/websocket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

#include "cri/streaming/channels.h"
#include "recorder.h"
#include "spdy_client.h"
#include "websocket_client.h"

namespace crisp::streaming {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kIn(1, '\0');  // stdin's channel byte

class ChannelsTest : public testing::Test {
 protected:
  bool Feed(const std::string& bytes) {
    const auto done = wire_.Consume(bytes, &sink_, &out_);
    return done.ok() && *done == bytes.size();
  }
  std::vector<std::string> Answers() { return ServerFrames(std::exchange(out_, "")); }

  ChannelProtocol wire_{{false, true}};
  Recorder sink_;
  std::string out_;
};

TEST_F(ChannelsTest, MessagesGoToTheirChannels) {
  EXPECT_TRUE(Feed(Message(kIn + "hello") + Message("\x04{}") + Message("") + Message(kIn)));
  EXPECT_EQ(sink_.data[0], "hello");
  EXPECT_EQ(sink_.data[4], "{}");
}

TEST_F(ChannelsTest, TheSameByByteAndInFragments) {
  const std::string all = ClientFrame(0x02, kIn + "he") + ClientFrame(0x89, "p") +
                          ClientFrame(0x00, "") + ClientFrame(0x80, "llo") + Message(kIn + "!");
  for (const char c : all) ASSERT_TRUE(Feed(std::string(1, c)));
  EXPECT_EQ(sink_.data[0], "hello!");
  EXPECT_THAT(Answers(), ElementsAre("8a [p]"));
}

TEST_F(ChannelsTest, LargeFrames) {
  const std::string big(300'000, 'x');
  EXPECT_TRUE(Feed(Message(kIn + big)));
  EXPECT_EQ(sink_.data[0], big);
}

TEST_F(ChannelsTest, AFullSinkHoldsTheRestBack) {
  sink_.room = 20'000;
  const std::string text = [] {
    std::string t;
    while (t.size() < 50'000) absl::StrAppend(&t, t.size(), ",");
    return t;
  }();
  std::string all = Message(kIn + text);
  while (!all.empty()) {
    const auto done = wire_.Consume(all, &sink_, &out_);
    ASSERT_TRUE(done.ok());
    all.erase(0, *done);
    sink_.room = 777;
  }
  EXPECT_EQ(sink_.data[0], text);
}

TEST_F(ChannelsTest, CloseSignalOfV5) {
  EXPECT_TRUE(Feed(Message(kIn + "x") + Message("\xff" + kIn)));
  EXPECT_THAT(sink_.events, ElementsAre("end 0"));
  EXPECT_TRUE(Feed(Message("\xff") + Message("\xff" + kIn + kIn)));
  EXPECT_THAT(sink_.events, ElementsAre("end 0")) << "exactly two bytes";
}

TEST_F(ChannelsTest, NoCloseSignalBeforeV5) {
  ChannelProtocol old({false, false});
  const std::string message = Message("\xff" + kIn);
  EXPECT_TRUE(old.Consume(message, &sink_, &out_).ok());
  EXPECT_THAT(sink_.events, IsEmpty());
}

TEST_F(ChannelsTest, CloseIsAnsweredAndEndsIt) {
  EXPECT_TRUE(Feed(ClientFrame(0x88, "\x03\xe8") + Message(kIn + "late")));
  EXPECT_TRUE(wire_.client_left());
  EXPECT_THAT(Answers(), ElementsAre("close 1000"));
  EXPECT_THAT(sink_.data, IsEmpty());
}

TEST_F(ChannelsTest, EmptyCloseIsAnsweredAlike) {
  EXPECT_TRUE(Feed(ClientFrame(0x88, "")));
  EXPECT_THAT(Answers(), ElementsAre("close 0"));
}

TEST_F(ChannelsTest, Writers) {
  wire_.Data(1, "out", &out_);
  wire_.Data(2, "", &out_);
  wire_.End(1, &out_);
  wire_.Bye(&out_);
  wire_.Bye(&out_);
  EXPECT_THAT(Answers(), ElementsAre("82 [\x01out]", "82 [\x02]", "close 1000"));
}

TEST_F(ChannelsTest, LongWriters) {
  for (const size_t n : {124, 125, 65534, 65535}) {
    wire_.Data(1, std::string(n, 'y'), &out_);
    EXPECT_THAT(Answers(), ElementsAre("82 [\x01" + std::string(n, 'y') + "]"));
  }
}

class ChannelFaults : public ChannelsTest {
 protected:
  void ExpectFault(const std::string& bytes, const std::string& close) {
    EXPECT_FALSE(wire_.Consume(bytes, &sink_, &out_).ok());
    EXPECT_THAT(Answers(), ElementsAre(close));
  }
};

TEST_F(ChannelFaults, Unmasked) { ExpectFault(ClientFrame(0x82, "x", false), "close 1002"); }
TEST_F(ChannelFaults, ReservedBits) { ExpectFault(ClientFrame(0xc2, "x"), "close 1002"); }
TEST_F(ChannelFaults, UnknownOpcode) { ExpectFault(ClientFrame(0x83, "x"), "close 1002"); }
TEST_F(ChannelFaults, LongPing) {
  ExpectFault(ClientFrame(0x89, std::string(126, 'x')), "close 1002");
}
TEST_F(ChannelFaults, PingInParts) { ExpectFault(ClientFrame(0x09, "x"), "close 1002"); }
TEST_F(ChannelFaults, NothingToContinue) { ExpectFault(ClientFrame(0x80, "x"), "close 1002"); }
TEST_F(ChannelFaults, MessageInMessage) {
  ExpectFault(ClientFrame(0x02, kIn) + ClientFrame(0x82, kIn), "close 1002");
}
TEST_F(ChannelFaults, OneByteClose) { ExpectFault(ClientFrame(0x88, "x"), "close 1002"); }
TEST_F(ChannelFaults, BadCloseCode) { ExpectFault(ClientFrame(0x88, "\x03\xed"), "close 1002"); }
TEST_F(ChannelFaults, HugeFrame) {
  ExpectFault(std::string("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14), "close 1009");
}

class Base64Test : public ChannelsTest {
 protected:
  bool Feed64(const std::string& bytes) {
    const auto done = base64_.Consume(bytes, &sink_, &out_);
    return done.ok() && *done == bytes.size() && !base64_.blocked();
  }
  ChannelProtocol base64_{{true, false}};
};

TEST_F(Base64Test, BothWays) {
  EXPECT_TRUE(Feed64(ClientFrame(0x81, "0aGVsbG8=") + ClientFrame(0x01, "0aGV") +
                     ClientFrame(0x80, "sbG8=") + ClientFrame(0x81, "")));
  EXPECT_EQ(sink_.data[0], "hellohello");
  base64_.Data(1, "hello", &out_);
  EXPECT_THAT(Answers(), ElementsAre("81 [1aGVsbG8=]"));
}

TEST_F(Base64Test, AFullSinkHoldsTheRestBack) {
  sink_.room = 2;
  std::string all = ClientFrame(0x81, "0aGVsbG8=") + ClientFrame(0x81, "0d29ybGQ=");
  for (int i = 0; i < 20 && (!all.empty() || base64_.blocked()); i++) {
    const auto done = base64_.Consume(all, &sink_, &out_);
    ASSERT_TRUE(done.ok());
    all.erase(0, *done);
    sink_.room = 2;
  }
  EXPECT_EQ(sink_.data[0], "helloworld");
}

// Of any length, cut anywhere, with and without padding.
TEST_F(Base64Test, InPieces) {
  const std::string plain(100'000, 'p');
  for (const size_t cut : {1, 2, 3, 5, 40'000}) {
    sink_.data.clear();
    const std::string text = "0" + absl::Base64Escape(plain);
    EXPECT_TRUE(Feed64(ClientFrame(0x01, text.substr(0, cut)) +
                       ClientFrame(0x80, text.substr(cut, text.find('=') - cut))));
    EXPECT_EQ(sink_.data[0], plain) << cut;
  }
}

TEST_F(Base64Test, Faults) {
  for (const char* bad :
       {"0***", "0aGV=aGVs", "0aGVsbG8=aGVs", "0aGVsbG8==", "0a", "0aG Vs", ":aGVs"}) {
    ChannelProtocol other({true, false});
    const std::string good = ClientFrame(0x81, "0aGVs");  // and what follows does not heal it
    EXPECT_FALSE(other.Consume(ClientFrame(0x81, bad) + good, &sink_, &out_).ok()) << bad;
    EXPECT_THAT(Answers(), ElementsAre("close 1007"));
  }
}

TEST(TunnelTest, SpdyInMessagesWhoseBordersMeanNothing) {
  SpdyClient client;
  TunnelProtocol tunnel;
  Recorder sink;
  std::string out, wire;
  const std::string spdy = client.Syn(1, {{"streamtype", "data"}}) + SpdyClient::Data(1, "hello") +
                           SpdyClient::Control(6, Be32(1));
  for (size_t i = 0; i < spdy.size(); i += 7) wire += Message(spdy.substr(i, 7));
  const auto done = tunnel.Consume(wire, &sink, &out);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(*done, wire.size());
  EXPECT_EQ(sink.data[1], "hello");
  tunnel.Data(1, "back", &out);
  tunnel.Bye(&out);
  std::string inner;
  std::vector<std::string> frames = ServerFrames(out);
  ASSERT_GE(frames.size(), 2);
  EXPECT_EQ(frames.back(), "close 1000");
  frames.pop_back();
  for (const std::string& frame : frames) inner += frame.substr(4, frame.size() - 5);
  EXPECT_THAT(Frames(inner), ElementsAre("SYN_REPLY 1", "PING 1", "DATA 1 [back]", "GOAWAY 1 0"));
}

TEST(TunnelTest, BrokenSpdyEndsIt) {
  TunnelProtocol tunnel;
  Recorder sink;
  std::string out;
  EXPECT_FALSE(tunnel.Consume(Message("\xff\xff\xff\xff\xff\xff\xff\xff"), &sink, &out).ok());
  EXPECT_EQ(ServerFrames(out).back(), "close 1000");
}

}  // namespace
}  // namespace crisp::streaming
