#include "cri/api/h2_scanner.h"

#include <gtest/gtest.h>

#include <string>

namespace crisp {
namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoaway,
  kWindow,
  kContinuation
};
constexpr uint8_t kEndHeaders = 4, kAck = 1, kEndStream = 1;

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, size_t size = 0) {
  std::string frame;
  for (int shift : {16, 8, 0}) frame += static_cast<char>(size >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift);
  return frame + std::string(size, '\xff');
}

// A connection with its preface sent.
class Client {
 public:
  explicit Client(size_t piece = SIZE_MAX, bool settled = true) : piece_(piece) {
    Send(kPreface, 0);
    if (!settled) return;
    scanner.ServerWrote();
    Send(Frame(kSettings, kAck, 0), 0);  // not in the second of what follows
  }
  H2Abuse Send(const std::string& bytes, int64_t now = 1000) {
    H2Abuse abuse = H2Abuse::kNone;
    for (size_t at = 0; at < bytes.size(); at += std::min(piece_, bytes.size() - at))
      abuse = scanner.Feed(reinterpret_cast<const uint8_t*>(bytes.data()) + at,
                           std::min(piece_, bytes.size() - at), now);
    return abuse;
  }
  // How many times `frames` passes.
  uint32_t Passes(const std::string& frames, int64_t now = 1000) {
    for (uint32_t times = 0; times < 100000; ++times)
      if (Send(frames, now) != H2Abuse::kNone) return times;
    return 100000;
  }
  H2Scanner scanner;

 private:
  size_t piece_;
};

class H2ScannerTest : public testing::TestWithParam<size_t> {
 protected:
  const H2Bounds bounds_;
  Client client_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Pieces, H2ScannerTest,
                         testing::Values(1, 2, 8, 9, 10, 13, 4096, SIZE_MAX));

TEST_P(H2ScannerTest, Preface) {
  Client other(GetParam());
  EXPECT_EQ(other.scanner.Feed(nullptr, 0, 1), H2Abuse::kNone);
  H2Scanner plain;
  EXPECT_EQ(plain.Feed(reinterpret_cast<const uint8_t*>("PRI * HTTP/2.0\r\n\r\nSX"), 20, 1),
            H2Abuse::kPreface);
  H2Scanner http1;
  EXPECT_EQ(http1.Feed(reinterpret_cast<const uint8_t*>("G"), 1, 1), H2Abuse::kPreface);
  EXPECT_EQ(http1.Feed(reinterpret_cast<const uint8_t*>("PRI"), 3, 1), H2Abuse::kPreface)
      << "stays";
}

// A payload that looks like frames is none, whatever its size.
TEST_P(H2ScannerTest, PayloadsAreSkipped) {
  std::string data = Frame(kData, 0, 1, 9 * 1000);
  for (size_t i = 0; i < 1000; ++i) data.replace(9 + 9 * i, 9, Frame(kContinuation, 0, 7));
  EXPECT_EQ(client_.Send(Frame(kHeaders, kEndHeaders, 1, 100) + data), H2Abuse::kNone);
  EXPECT_EQ(client_.Send(Frame(kData, 0, 1, (1 << 24) - 1) + Frame(kPing, 0, 0, 8)),
            H2Abuse::kNone);
  EXPECT_EQ(client_.Send(Frame(kContinuation, 0, 1)), H2Abuse::kBlockOrder) << "not lost count";
}

TEST_P(H2ScannerTest, HeaderBlockAtTheBound) {
  const std::string head =
      Frame(kHeaders, 0, 1, 991) + Frame(kContinuation, 0, 1, bounds_.header_block - 1018);
  EXPECT_EQ(client_.Send(head + Frame(kContinuation, kEndHeaders, 1)), H2Abuse::kNone);
  EXPECT_EQ(client_.Send(Frame(kHeaders, kEndHeaders, 3, bounds_.header_block - 9)), H2Abuse::kNone)
      << "from 0 again";
  EXPECT_EQ(Client(GetParam()).Send(Frame(kHeaders, kEndHeaders, 3, bounds_.header_block - 8)),
            H2Abuse::kHeaderBlock);
  EXPECT_EQ(client_.Send(Frame(kHeaders, 0, 5, bounds_.header_block - 18)), H2Abuse::kNone);
  EXPECT_EQ(client_.Send(Frame(kContinuation, kEndHeaders, 5, 1)), H2Abuse::kHeaderBlock);
}

TEST_P(H2ScannerTest, EmptyContinuations) {
  EXPECT_EQ(client_.Send(Frame(kHeaders, 0, 1)), H2Abuse::kNone);
  EXPECT_EQ(client_.Passes(Frame(kContinuation, 0, 1)), bounds_.header_block / 9 - 1);
}

TEST_P(H2ScannerTest, NothingElseInABlock) {
  EXPECT_EQ(client_.Send(Frame(kHeaders, 0, 1, 5)), H2Abuse::kNone);
  for (const auto& other : {Frame(kData, 0, 1, 1), Frame(kPing, 0, 0, 8), Frame(kHeaders, 0, 3),
                            Frame(kContinuation, 0, 3)}) {
    Client client(GetParam());
    client.Send(Frame(kHeaders, 0, 1, 5));
    EXPECT_EQ(client.Send(other), H2Abuse::kBlockOrder);
  }
  EXPECT_EQ(client_.Send(Frame(kContinuation, kEndHeaders, 1)), H2Abuse::kNone);
  EXPECT_EQ(client_.Send(Frame(kContinuation, kEndHeaders, 1)), H2Abuse::kBlockOrder);
}

TEST_P(H2ScannerTest, RapidResets) {
  uint32_t stream = 1;
  const auto open_and_reset = [&] {
    const std::string frames =
        Frame(kHeaders, kEndHeaders, stream, 20) + Frame(kReset, 0, stream, 4);
    stream += 2;
    return frames;
  };
  for (int64_t second = 1; second < 10; ++second)
    for (uint32_t i = 0; i < bounds_.resets; ++i) {
      ASSERT_EQ(client_.Send(open_and_reset(), second * 1000 + 2000), H2Abuse::kNone)
          << second << " " << i;
    }
  EXPECT_EQ(client_.Send(open_and_reset(), 11999), H2Abuse::kResets);
}

// 500 calls that time out together are no attack; those of the last two seconds are.
TEST_P(H2ScannerTest, ResetsOfOlderCalls) {
  for (int64_t opened : {500, 1500, 2500, 7000})
    for (uint32_t i = 0; i < 500; ++i) {
      const uint32_t stream = static_cast<uint32_t>(opened) * 2 + 2 * i + 1;
      client_.Send(Frame(kHeaders, kEndHeaders | kEndStream, stream), opened);
    }
  const auto reset = [&](int64_t opened, int64_t now) {
    Client copy = client_;
    H2Abuse abuse = H2Abuse::kNone;
    for (uint32_t i = 0; i < 500; ++i)
      abuse = copy.Send(Frame(kReset, 0, static_cast<uint32_t>(opened) * 2 + 2 * i + 1, 4), now);
    return abuse;
  };
  EXPECT_EQ(reset(2500, 7500), H2Abuse::kNone);
  EXPECT_EQ(reset(7000, 7500), H2Abuse::kResets);
  EXPECT_EQ(reset(7000, 8100), H2Abuse::kResets) << "a new second does not help";
  EXPECT_EQ(reset(7000, 9500), H2Abuse::kNone);
}

// Else gRPC would not hold the client to our number of streams.
TEST_P(H2ScannerTest, OurSettingsAreHeard) {
  const std::string call = Frame(kHeaders, kEndHeaders, 1, 20), ack = Frame(kSettings, kAck, 0);
  EXPECT_EQ(client_.Passes(call), 100000u);
  Client silent(GetParam(), false);
  silent.scanner.ServerWrote();
  EXPECT_EQ(silent.Passes(call), bounds_.early_streams);
  Client early(GetParam(), false);
  EXPECT_EQ(early.Send(ack), H2Abuse::kSettings);
  Client honest(GetParam(), false);
  EXPECT_EQ(honest.Send(Frame(kSettings, 0, 0, 6)), H2Abuse::kNone)
      << "its own, no acknowledgement";
  honest.scanner.ServerWrote();
  EXPECT_EQ(honest.Send(ack), H2Abuse::kNone);
  EXPECT_EQ(honest.Passes(call), 100000u);
}

TEST_P(H2ScannerTest, FramesThatNoClientNeeds) {
  for (const auto& frame :
       {Frame(kPriority, 0, 1, 5), Frame(kSettings, kAck, 0), Frame(kSettings, 0, 0, 6),
        Frame(kPing, kAck, 0, 8), Frame(kPush, 0, 1, 4), Frame(kGoaway, 0, 0, 8),
        Frame(kData, 0, 1), Frame(0x42, 0, 1, 3), Frame(kReset, 0, 0, 4)}) {
    Client client(GetParam());
    EXPECT_EQ(client.Passes(frame), bounds_.control) << int{static_cast<uint8_t>(frame[3])};
    EXPECT_EQ(client.Send(frame, 5000), H2Abuse::kControl) << "stays";
  }
  EXPECT_EQ(client_.Passes(Frame(kPriority, 0, 1, 5) + Frame(0x42, 0, 1)), bounds_.control / 2)
      << "together";
  Client slow(GetParam());
  for (int64_t second = 1; second < 5; ++second)
    for (uint32_t i = 0; i < bounds_.control; ++i)
      ASSERT_EQ(slow.Send(Frame(kPriority, 0, 1, 5), second * 1000 + 2000), H2Abuse::kNone);
}

// What reading much costs a client in frames is not counted.
TEST_P(H2ScannerTest, WindowUpdatesAndDataAreFree) {
  EXPECT_EQ(client_.Passes(Frame(kPing, 0, 0, 8)), 100000u);
  EXPECT_EQ(client_.Passes(Frame(kWindow, 0, 0, 4)), 100000u);
  EXPECT_EQ(client_.Passes(Frame(kData, 0, 1, 5)), 100000u);
  EXPECT_EQ(client_.Passes(Frame(kHeaders, kEndHeaders, 1, 8) + Frame(kData, 1, 1)), 100000u)
      << "END_STREAM";
}

}  // namespace
}  // namespace crisp
