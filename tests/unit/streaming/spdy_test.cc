#include "cri/streaming/spdy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "cri/streaming/spdy_dictionary.h"
#include "recorder.h"
#include "spdy_client.h"

namespace crisp::streaming {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SpdyTest : public testing::Test {
 protected:
  // Everything at once; true: no error.
  bool Feed(const std::string& bytes) {
    const auto done = spdy_.Consume(bytes, &sink_, &out_);
    return done.ok() && *done == bytes.size();
  }
  std::vector<std::string> Answers() { return Frames(std::exchange(out_, "")); }

  SpdyClient client_;
  SpdyProtocol spdy_;
  Recorder sink_;
  std::string out_;
};

TEST(SpdyDictionaryTest, IsTheDrafts) {
  const std::string& words = SpdyDictionary();
  EXPECT_EQ(words.size(), 1423);
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(words.data()), words.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  EXPECT_EQ(absl::BytesToHexString(hash),
            "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02");
}

TEST_F(SpdyTest, OpensStreamsAndAnswersEachAtOnce) {
  EXPECT_TRUE(Feed(client_.Syn(1, {{"streamtype", "error"}})));
  EXPECT_TRUE(Feed(client_.Syn(3, {{"streamtype", "data"}, {"port", "80"}})));
  EXPECT_THAT(sink_.events,
              ElementsAre("open 1 streamtype=error", "open 3 streamtype=data port=80"));
  EXPECT_THAT(Answers(), ElementsAre("SYN_REPLY 1", "SYN_REPLY 3"));
}

TEST_F(SpdyTest, TheSameByByte) {
  std::string all = client_.Syn(1, {{"streamtype", "stdin"}}) + SpdyClient::Data(1, "hello") +
                    SpdyClient::Control(6, Be32(7)) + SpdyClient::Data(1, "", true);
  for (const char c : all) ASSERT_TRUE(Feed(std::string(1, c)));
  EXPECT_EQ(sink_.data[1], "hello");
  EXPECT_THAT(sink_.events, ElementsAre("open 1 streamtype=stdin", "end 1"));
  EXPECT_THAT(Answers(), ElementsAre("SYN_REPLY 1", "PING 7"));
}

TEST_F(SpdyTest, RefusedStreamIsReset) {
  sink_.refuse = true;
  EXPECT_TRUE(Feed(client_.Syn(1, {{"streamtype", "what"}})));
  EXPECT_THAT(Answers(), ElementsAre("RST 1 3"));
  sink_.refuse = false;  // and the session goes on, header compression included
  EXPECT_TRUE(Feed(client_.Syn(3, {{"streamtype", "error"}})));
  EXPECT_THAT(Answers(), ElementsAre("SYN_REPLY 3"));
}

TEST_F(SpdyTest, AFullSinkHoldsTheRestBack) {
  sink_.room = 3;
  const std::string all = client_.Syn(1, {{"streamtype", "stdin"}}) +
                          SpdyClient::Data(1, "abcdef", true) + SpdyClient::Control(6, Be32(1));
  auto done = spdy_.Consume(all, &sink_, &out_);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(all.size() - *done, 3 + 12);
  EXPECT_THAT(sink_.events, ElementsAre("open 1 streamtype=stdin")) << "its end must wait";
  sink_.room = 100;
  EXPECT_TRUE(Feed(all.substr(*done)));
  EXPECT_EQ(sink_.data[1], "abcdef");
  EXPECT_THAT(sink_.events, ElementsAre("open 1 streamtype=stdin", "end 1"));
}

TEST_F(SpdyTest, PingIsEchoedAndAnEvenOneIgnored) {
  EXPECT_TRUE(Feed(SpdyClient::Control(6, Be32(0x7fffffff))));
  EXPECT_TRUE(Feed(SpdyClient::Control(6, Be32(2))));
  EXPECT_THAT(Answers(), ElementsAre("PING 2147483647"));
}

TEST_F(SpdyTest, WindowsSettingsAndUnknownTypesAreIgnored) {
  EXPECT_TRUE(Feed(SpdyClient::Control(4, Be32(0xffffffff))));  // a count of settings that lies
  EXPECT_TRUE(Feed(SpdyClient::Control(9, Be32(1) + Be32(0x80000000))));
  EXPECT_TRUE(Feed(SpdyClient::Control(77, "abc")));
  EXPECT_THAT(Answers(), IsEmpty());
}

TEST_F(SpdyTest, HeadersAndSynReplyAreInflated) {
  EXPECT_TRUE(Feed(client_.Syn(1, {{"streamtype", "error"}})));
  EXPECT_TRUE(Feed(SpdyClient::Control(8, Be32(1) + client_.Deflate(HeaderBlock({{"a", "b"}})))));
  EXPECT_TRUE(Feed(client_.Syn(3, {{"streamtype", "data"}})));
  EXPECT_EQ(sink_.events.back(), "open 3 streamtype=data");
  EXPECT_FALSE(Feed(SpdyClient::Control(8, Be32(1) + "rubbish")));
}

TEST_F(SpdyTest, ResetAndGoAway) {
  EXPECT_TRUE(Feed(client_.Syn(1, {})));
  EXPECT_TRUE(Feed(SpdyClient::Control(3, Be32(9) + Be32(5)))) << "never opened: no harm";
  EXPECT_TRUE(Feed(SpdyClient::Control(3, Be32(1) + Be32(5))));
  EXPECT_THAT(sink_.events, ElementsAre("open 1", "reset 1"));
  EXPECT_FALSE(spdy_.client_left());
  EXPECT_TRUE(Feed(SpdyClient::Control(7, Be32(0) + Be32(0))));
  EXPECT_TRUE(spdy_.client_left());
  out_.clear();
  EXPECT_TRUE(Feed(client_.Syn(3, {})));
  EXPECT_THAT(Answers(), ElementsAre("RST 3 3"));
}

TEST_F(SpdyTest, DataForAStreamThatNeverWasIsReset) {
  EXPECT_TRUE(Feed(SpdyClient::Data(5, "x")));
  EXPECT_THAT(Answers(), ElementsAre("RST 5 2"));
}

TEST_F(SpdyTest, FinOfSynStreamEndsIt) {
  EXPECT_TRUE(Feed(client_.Syn(1, {}, 1)));
  EXPECT_THAT(sink_.events, ElementsAre("open 1", "end 1"));
}

TEST_F(SpdyTest, WriterMakesFramesThatAClientReads) {
  spdy_.Data(3, "hello", &out_);
  spdy_.End(3, &out_);
  spdy_.Reset(5, &out_);
  spdy_.Bye(&out_);
  spdy_.Bye(&out_);
  EXPECT_THAT(Answers(), ElementsAre("DATA 3 [hello]", "DATA 3 FIN", "RST 5 5", "GOAWAY 0 0"));
}

// Each of these ends the connection with GOAWAY and status 1.
class SpdyFaults : public SpdyTest {
 protected:
  void ExpectFault(const std::string& bytes) {
    EXPECT_FALSE(Feed(bytes));
    const auto answers = Answers();
    ASSERT_FALSE(answers.empty());
    EXPECT_THAT(answers.back(), testing::MatchesRegex("GOAWAY [0-9]+ 1"));
  }
};

TEST_F(SpdyFaults, Garbage) { ExpectFault("\xff\xff\xff\xff\xff\xff\xff\xff"); }
TEST_F(SpdyFaults, HttpInstead) { ExpectFault(std::string(4, '\0') + "GET / HTTP/1.1\r\n\r\n"); }
TEST_F(SpdyFaults, OtherVersion) { ExpectFault(Be32(0x80020001) + Be32(0)); }
TEST_F(SpdyFaults, LargeControlFrame) {
  ExpectFault(Be32(0x80030001) + Be32(kMaxControlFrame + 1));
}
TEST_F(SpdyFaults, EvenId) { ExpectFault(client_.Syn(2, {})); }
TEST_F(SpdyFaults, IdZero) { ExpectFault(client_.Syn(0, {})); }
TEST_F(SpdyFaults, UsedId) { ExpectFault(InOrder({client_.Syn(3, {}), client_.Syn(3, {})})); }
TEST_F(SpdyFaults, FallingId) { ExpectFault(InOrder({client_.Syn(5, {}), client_.Syn(3, {})})); }
TEST_F(SpdyFaults, SynTooShort) { ExpectFault(SpdyClient::Control(1, "abc")); }
TEST_F(SpdyFaults, PingLength) { ExpectFault(SpdyClient::Control(6, "abc")); }
TEST_F(SpdyFaults, ResetLength) { ExpectFault(SpdyClient::Control(3, "abc")); }
TEST_F(SpdyFaults, GoAwayLength) { ExpectFault(SpdyClient::Control(7, "abc")); }
TEST_F(SpdyFaults, DataOnStreamZero) { ExpectFault(SpdyClient::Data(0, "x")); }
TEST_F(SpdyFaults, NotDeflated) { ExpectFault(client_.SynWithBlock(1, "plain")); }

TEST_F(SpdyFaults, HeaderBomb) {  // a few hundred bytes that inflate to 10 MiB
  ExpectFault(
      client_.SynWithBlock(1, client_.Deflate(std::string(10 << 20, 'a')).substr(0, 60000)));
}

TEST_F(SpdyFaults, HeaderCountLies) {
  ExpectFault(client_.SynWithBlock(1, client_.Deflate(Be32(0xffffffff))));
}

TEST_F(SpdyFaults, HeaderLengthLies) {
  ExpectFault(client_.SynWithBlock(1, client_.Deflate(Be32(1) + Be32(0x7fffffff) + "a")));
}

TEST(HeaderBlockTest, Limits) {
  EXPECT_TRUE(ParseHeaderBlock(HeaderBlock(HeaderList(64, {"a", "b"}))).ok());
  EXPECT_FALSE(ParseHeaderBlock(HeaderBlock(HeaderList(65, {"a", "b"}))).ok());
  EXPECT_FALSE(ParseHeaderBlock(HeaderBlock({{"", "b"}})).ok());
  EXPECT_FALSE(ParseHeaderBlock(HeaderBlock({{"a", "b"}}) + "x").ok());
  EXPECT_FALSE(ParseHeaderBlock("").ok());
  SpdyClient client;
  HeaderInflater inflater;
  const size_t rest = kMaxHeaderBlock - HeaderBlock({{"a", ""}}).size();
  EXPECT_TRUE(inflater.Inflate(client.Deflate(HeaderBlock({{"a", std::string(rest, 'x')}}))).ok());
  EXPECT_FALSE(
      inflater.Inflate(client.Deflate(HeaderBlock({{"a", std::string(rest + 1, 'x')}}))).ok());
}

}  // namespace
}  // namespace crisp::streaming
