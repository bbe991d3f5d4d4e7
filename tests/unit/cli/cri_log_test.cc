#include "cri/cli/cri_log.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "runtime/base/files.h"

namespace crisp::cli {
namespace {

constexpr char kTime[] = "2016-10-06T00:17:09.669794202Z";

TEST(CriLog, Records) {
  const std::string time = kTime;
  // The result points into the record, so the record must live.
  const std::string full = time + " stdout F hello  world ", part = time + " stderr P part";
  auto line = ParseLogLine(full);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "hello  world ");
  EXPECT_FALSE(line->to_stderr);
  EXPECT_FALSE(line->partial);
  line = ParseLogLine(part);
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->to_stderr);
  EXPECT_TRUE(line->partial);
  const std::string empty = time + " stdout F ", bare = time + " stdout F", tags = bare + ":x y";
  EXPECT_EQ(ParseLogLine(empty)->content, "");
  EXPECT_EQ(ParseLogLine(bare)->content, "");
  EXPECT_EQ(ParseLogLine(tags)->content, "y");
  for (const std::string& bad : std::vector<std::string>{
           "", "hello", time, time + " stdout", time + " stdin F x", time + " stdout X x",
           "yesterday stdout F x", " " + time + " stdout F x"})
    EXPECT_FALSE(ParseLogLine(bad)) << bad;
}

TEST(CriLog, PiecesOfAnySizePrintTheSame) {
  const std::string time = kTime;
  const std::string log = time + " stdout P ab\n" + time + " stderr F err\n" + time +
                          " stdout F cd\nnot a record\n" + time + " stdout F \n";
  for (size_t piece = 1; piece <= log.size(); ++piece) {
    std::string out, err;
    LogPrinter printer(false);
    for (size_t at = 0; at < log.size(); at += piece)
      printer.Feed(absl::string_view(log).substr(at, piece), &out, &err);
    EXPECT_EQ(out, "abcd\nnot a record\n\n");
    EXPECT_EQ(err, "err\n");
  }
}

TEST(CriLog, TimeStandsOnceBeforeALineOfManyParts) {
  const std::string time = kTime;
  std::string out, err;
  LogPrinter(true).Feed(time + " stdout P a\n" + time + " stdout F b\n", &out, &err);
  EXPECT_EQ(out, time + " ab\n");
}

TEST(CriLog, EndlessLineIsBounded) {
  std::string out, err;
  LogPrinter printer(false);
  for (int i = 0; i < 40; ++i) printer.Feed(std::string(65536, 'x'), &out, &err);
  EXPECT_GT(out.size(), size_t{2 << 20});
}

TEST(CriLog, TailFindsTheBeginningOfTheLastLines) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += absl::StrCat("line ", i, "\n");
  UniqueFd fd(memfd_create("log", MFD_CLOEXEC));
  ASSERT_TRUE(WriteAll(fd.get(), text).ok());
  const auto tail = [&](int64_t lines) {
    return text.substr(static_cast<size_t>(*TailOffset(fd.get(), lines)));
  };
  EXPECT_EQ(tail(0), "");
  EXPECT_EQ(tail(1), "line 4999\n");
  EXPECT_EQ(tail(2), "line 4998\nline 4999\n");
  EXPECT_EQ(tail(4000).substr(0, 10), "line 1000\n");
  EXPECT_EQ(tail(5000), text);
  EXPECT_EQ(tail(9999), text);
  ASSERT_TRUE(WriteAll(fd.get(), "unfinished").ok());
  text += "unfinished";
  EXPECT_EQ(tail(1), "unfinished");
}

}  // namespace
}  // namespace crisp::cli
