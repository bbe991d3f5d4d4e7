#include "runtime/keeper/log_format.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernel/keeper/pattern.h"

namespace crisp::keeper {
namespace {

constexpr int64_t kTime = 1136214245999999999;  // 2006-01-02T15:04:05.999999999Z

std::string TimeText(int64_t nanos) {
  char text[kTimeSize];
  FormatTime(nanos, text);
  return std::string(text, kTimeSize);
}

std::string Format(const std::string& bytes, uint32_t max_line, size_t capacity = 1 << 20,
                   bool is_stderr = false) {
  LineFormatter lines(bytes.data(), bytes.size(), kTime, is_stderr, max_line);
  std::string out, buffer(capacity, '\0');
  while (const size_t n = lines.Next(buffer.data(), buffer.size())) out.append(buffer, 0, n);
  EXPECT_EQ(lines.consumed(), bytes.size());
  return out;
}

const std::string kStart = "2006-01-02T15:04:05.999999999Z stdout ";

TEST(LogFormatTest, TimeHasNineDigitsInUtc) {
  EXPECT_EQ(TimeText(kTime), "2006-01-02T15:04:05.999999999Z");
  EXPECT_EQ(TimeText(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(TimeText(1), "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(TimeText(-5), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(TimeText(1709164800000000000), "2024-02-29T00:00:00.000000000Z");
  EXPECT_EQ(TimeText(4107542399000000000), "2100-02-28T23:59:59.000000000Z");
  EXPECT_EQ(TimeText(4107542400000000000), "2100-03-01T00:00:00.000000000Z");
}

TEST(LogFormatTest, TimeAgreesWithTheLibrary) {
  std::minstd_rand random(1);
  for (int i = 0; i < 10000; ++i) {
    const time_t seconds = static_cast<time_t>(random()) * 3;
    tm parts{};
    gmtime_r(&seconds, &parts);
    char want[32];
    strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000000000Z", &parts);
    ASSERT_EQ(TimeText(seconds * 1000000000), want);
  }
}

TEST(LogFormatTest, WholeLinesAreFullAndTheRestIsPartial) {
  EXPECT_EQ(Format("a\n\nb", 100), kStart + "F a\n" + kStart + "F \n" + kStart + "P b\n");
  EXPECT_EQ(Format("a\n", 100, 1 << 20, true), "2006-01-02T15:04:05.999999999Z stderr F a\n");
  EXPECT_EQ(Format("", 100), "");
}

TEST(LogFormatTest, LongLinesAreSplitAtTheLimit) {
  EXPECT_EQ(Format("abcd\n", 4), kStart + "F abcd\n");
  EXPECT_EQ(Format("abcde\n", 4), kStart + "P abcd\n" + kStart + "F e\n");
  EXPECT_EQ(Format("abcd", 4), kStart + "P abcd\n");
}

TEST(LogFormatTest, WritableIsWholeLinesAndFullPieces) {
  const auto writable = [](const std::string& bytes, bool final) {
    return WritableBytes(bytes.data(), bytes.size(), 4, final);
  };
  EXPECT_EQ(writable("ab\ncd", false), 3u);
  EXPECT_EQ(writable("ab\ncd", true), 5u);
  EXPECT_EQ(writable("abcd", false), 0u) << "a newline may follow";
  EXPECT_EQ(writable("abcde", false), 4u);
  EXPECT_EQ(writable("x\nabcdefghi", false), 10u);
  EXPECT_EQ(writable("", false), 0u);
}

// However the bytes arrive, the records are the same (times apart) and give the bytes back.
TEST(LogFormatTest, RecordsDoNotDependOnHowBytesArrive) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const std::string bytes = PatternBytes(seed, 50000);
    const uint32_t max_line = seed % 2 ? 100 : 16384;
    const std::string want = Format(bytes, max_line);
    std::minstd_rand random(seed + 1);
    std::string got, pending;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = std::min<size_t>(bytes.size() - at, random() % 3000);
      pending += bytes.substr(at, n);
      at += n;
      const size_t end =
          WritableBytes(pending.data(), pending.size(), max_line, at == bytes.size());
      got += Format(pending.substr(0, end), max_line, max_line + kLineOverhead + random() % 500);
      pending.erase(0, end);
    }
    ASSERT_TRUE(got == want) << "seed " << seed;
  }
}

// Whole records within both limits, the same cut whatever stands behind.
TEST(LogFormatTest, FittingBytes) {
  const std::string text = "aa\nbbbb\ncc";
  const auto fits = [&](uint64_t raw, uint64_t formatted) {
    return FittingBytes(text.data(), text.size(), 100, raw, formatted);
  };
  EXPECT_EQ(fits(UINT64_MAX, UINT64_MAX), text.size());
  EXPECT_EQ(fits(9, UINT64_MAX), 8u);
  EXPECT_EQ(fits(8, UINT64_MAX), 8u);
  EXPECT_EQ(fits(7, UINT64_MAX), 3u);
  EXPECT_EQ(fits(2, UINT64_MAX), 0u);
  EXPECT_EQ(fits(0, 0), 0u);
  const uint64_t first = 2 + kLineOverhead;
  EXPECT_EQ(fits(UINT64_MAX, first - 1), 0u);
  EXPECT_EQ(fits(UINT64_MAX, first), 3u);
  EXPECT_EQ(fits(UINT64_MAX, first + 4 + kLineOverhead), 8u);
  // What is said to fit is what the formatter writes.
  for (uint64_t limit = 0; limit < 300; ++limit) {
    const size_t size = fits(UINT64_MAX, limit);
    EXPECT_LE(Format(text.substr(0, size), 100).size(), limit);
  }
  // Pieces of a long line are records.
  const std::string line(250, 'x');
  EXPECT_EQ(FittingBytes(line.data(), line.size(), 100, 249, UINT64_MAX), 200u);
}

TEST(LogFormatTest, MarkIsOneLogLine) {
  char out[kMarkSize];
  const auto text = [&](LimitMark mark, uint64_t limit) {
    const size_t size = FormatMark(mark, limit, kTime, true, out);
    EXPECT_LE(size, kMarkSize);
    return std::string(out, size);
  };
  EXPECT_EQ(text(LimitMark::kRate, 1000),
            "2006-01-02T15:04:05.999999999Z stderr F [crisp] output is dropped: more than 1000 "
            "bytes in a second\n");
  EXPECT_EQ(text(LimitMark::kFile, UINT64_MAX),
            "2006-01-02T15:04:05.999999999Z stderr F [crisp] output is dropped: more than "
            "18446744073709551615 bytes in this log file\n");
}

}  // namespace
}  // namespace crisp::keeper
