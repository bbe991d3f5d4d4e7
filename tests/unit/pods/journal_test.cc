#include "cri/pods/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "cri/pods/crc32c.h"
#include "cri/pods/records.pb.h"
#include "runtime/base/files.h"

namespace crisp::cri {
namespace {

records::Record PodRecord(const std::string& id) {
  records::Record record;
  record.mutable_pod()->set_id(id);
  record.mutable_pod()->add_ips("10.85.0.2");
  return record;
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/crisp-journal-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    dir_ = path;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, dir_).ok()); }

  std::unique_ptr<Journal> Open(JournalReplay* replay) {
    auto journal = Journal::Open(dir_, replay);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return std::move(*journal);
  }

  std::string dir_;
};

TEST(Crc32c, KnownVector) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
}  // RFC 3720 B.4 check value

TEST_F(JournalTest, GivesBackWhatWasAppended) {
  JournalReplay replay;
  {
    auto journal = Open(&replay);
    EXPECT_TRUE(replay.records.empty());
    ASSERT_TRUE(journal->Append(PodRecord("a")).ok());
    ASSERT_TRUE(journal->Append(PodRecord("b")).ok());
  }
  Open(&replay);
  ASSERT_EQ(replay.records.size(), 2u);
  EXPECT_EQ(replay.records[1].pod().id(), "b");
  EXPECT_EQ(replay.torn, "");
}

// Cut at every byte: all whole records before the cut come back, nothing else, and the file can be
// appended to again.
TEST_F(JournalTest, TornTailAtEveryByte) {
  JournalReplay replay;
  {
    auto journal = Open(&replay);
    for (const char* id : {"first", "second", "third"})
      ASSERT_TRUE(journal->Append(PodRecord(id)).ok());
  }
  const std::string whole = *ReadFile(dir_ + "/journal");
  const size_t first = ReplayJournal(whole).records[0].ByteSizeLong() + 8;
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    const JournalReplay part = ReplayJournal(absl::string_view(whole).substr(0, cut));
    EXPECT_LE(part.valid_bytes, cut);
    EXPECT_EQ(part.torn.empty(), part.valid_bytes == cut);
    EXPECT_EQ(part.records.empty(), cut < first);
    EXPECT_LT(part.records.size(), 3u);
  }
  ASSERT_EQ(truncate((dir_ + "/journal").c_str(), static_cast<off_t>(whole.size() - 3)), 0);
  {
    auto journal = Open(&replay);
    EXPECT_EQ(replay.records.size(), 2u);
    ASSERT_TRUE(journal->Append(PodRecord("fourth")).ok());
  }
  Open(&replay);
  ASSERT_EQ(replay.records.size(), 3u);
  EXPECT_EQ(replay.records[2].pod().id(), "fourth");
}

TEST_F(JournalTest, AFlippedBitEndsTheReplay) {
  JournalReplay replay;
  {
    auto journal = Open(&replay);
    for (const char* id : {"first", "second"}) ASSERT_TRUE(journal->Append(PodRecord(id)).ok());
  }
  const std::string whole = *ReadFile(dir_ + "/journal");
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string broken = whole;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_LT(ReplayJournal(broken).records.size(), 2u) << "bit " << bit;
  }
}

TEST_F(JournalTest, CompactionKeepsTheLastRecordOfTheLiving) {
  JournalReplay replay;
  auto journal = Open(&replay);
  records::Record big = PodRecord("big");
  big.mutable_pod()->set_config(std::string(300'000, 'x'));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(journal->Append(big).ok());
  ASSERT_TRUE(journal->Append(PodRecord("gone")).ok());
  records::Record removed;
  removed.set_removed_pod("gone");
  ASSERT_TRUE(journal->Append(removed).ok());
  ASSERT_TRUE(journal->CompactIfLarge().ok());
  EXPECT_LT(ReadFile(dir_ + "/journal")->size(), 310'000u);
  ASSERT_TRUE(journal->Append(PodRecord("after")).ok());
  Open(&replay);
  ASSERT_EQ(replay.records.size(), 2u);
  EXPECT_EQ(replay.records[0].pod().id(), "big");
  EXPECT_EQ(replay.records[1].pod().id(), "after");
}

TEST_F(JournalTest, RefusesARecordOverTheLimit) {
  JournalReplay replay;
  auto journal = Open(&replay);
  records::Record big = PodRecord("big");
  big.mutable_pod()->set_config(std::string(kMaxRecordBytes, 'x'));
  EXPECT_EQ(journal->Append(big).code(), absl::StatusCode::kResourceExhausted);
  Open(&replay);
  EXPECT_TRUE(replay.records.empty());
}

}  // namespace
}  // namespace crisp::cri
