// The walls around the unpacker, read from outside while it waits for bytes.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "imageservice/content/digest.h"
#include "imageservice/layers/unpack_process.h"
#include "runtime/base/stages.h"
#include "runtime/sys/fd.h"

namespace crisp::image {
namespace {

bool Never() { return false; }

class ConfinementTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(layer_);
    unpacker_.Reset(open(CRISP_UNPACK, O_PATH | O_CLOEXEC));
    directory_.Reset(open(layer_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(unpacker_.valid() && directory_.valid());
  }
  std::unique_ptr<UnpackProcess> Start(const std::string& tar) {
    auto process = UnpackProcess::Start(unpacker_.get(), directory_.get(),
                                        {"none", DigestOf(tar), tar.size(), DigestOf(tar), 0});
    EXPECT_TRUE(process.ok()) << process.status();
    return process.ok() ? *std::move(process) : nullptr;
  }
  // The only child of this test.
  static std::string ProcOf() {
    const std::string children = ReadText(absl::StrCat("/proc/self/task/", gettid(), "/children"));
    std::istringstream list(children);
    std::string pid;
    list >> pid;
    return "/proc/" + pid;
  }
  static std::string Line(const std::string& text, const std::string& key) {
    std::istringstream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
      if (absl::StartsWith(line, key)) return line.substr(key.size());
    }
    return "";
  }

  TempDir temp_;
  std::string layer_ = temp_.Sub("layer");
  UniqueFd unpacker_, directory_;
};

TEST_F(ConfinementTest, WhatTheProcessHas) {
  const std::string tar = TarBuilder().File("f", "1").End();
  const auto process = Start(tar);
  ASSERT_NE(process, nullptr);
  const std::string proc = ProcOf();
  const int64_t end = MonotonicNanos() + 10'000'000'000;
  std::string status;
  do {  // until its last wall is up
    status = ReadText(proc + "/status");
  } while (Line(status, "Seccomp:\t") != "2" && MonotonicNanos() < end);
  EXPECT_EQ(Line(status, "Seccomp:\t"), "2");
  EXPECT_EQ(Line(status, "NoNewPrivs:\t"), "1");
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, SETFCAP 31
  for (const char* set : {"CapEff:\t", "CapPrm:\t", "CapBnd:\t"}) {
    EXPECT_EQ(Line(status, set), "000000008000001b") << set;
  }
  EXPECT_EQ(Line(status, "CapInh:\t"), "0000000000000000");
  struct stat root, layer;
  ASSERT_EQ(stat((proc + "/root/.").c_str(), &root), 0);
  ASSERT_EQ(stat(layer_.c_str(), &layer), 0);
  EXPECT_EQ(root.st_ino, layer.st_ino);
  const std::string mounts = ReadText(proc + "/mountinfo");
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 1) << mounts;
  EXPECT_TRUE(absl::StrContains(mounts, "nosuid,nodev,noexec")) << mounts;
  EXPECT_FALSE(absl::StrContains(ReadText(proc + "/net/dev"), "eth")) << "an empty network";
  size_t fds = 0;
  for (const auto& unused : std::filesystem::directory_iterator(proc + "/fd")) {
    static_cast<void>(unused);
    ++fds;
  }
  EXPECT_LE(fds, 4U) << "input, result, /dev/null, the layer";
  EXPECT_TRUE(process->Feed(tar, Never).ok());
  const auto counters = process->Finish(Never);
  ASSERT_TRUE(counters.ok()) << counters.status();
  EXPECT_EQ(counters->entries, 1U);
  EXPECT_EQ(ReadText(layer_ + "/f"), "1");
}

TEST_F(ConfinementTest, EndsWithItsOwner) {
  std::string proc;
  {
    const auto process = Start(TarBuilder().File("f", "1").End());
    proc = ProcOf();
    EXPECT_TRUE(Exists(proc));
  }
  EXPECT_FALSE(Exists(proc));
}

TEST_F(ConfinementTest, CancelWhileItIsBusy) {
  const std::string tar = TarBuilder().File("f", std::string(4 << 20, 'x')).End();
  const auto process = Start(tar);
  ASSERT_NE(process, nullptr);
  EXPECT_TRUE(process->Feed(tar.substr(0, 1000), Never).ok());
  const auto counters = process->Finish([] { return false; });
  EXPECT_EQ(counters.status().code(), absl::StatusCode::kInvalidArgument) << counters.status();
  const auto other = Start(tar);
  ASSERT_NE(other, nullptr);
  // Never fed to its end and never closed: only the cancel ends the wait.
  StatusOr<UnpackCounters> result = other->Finish([] { return true; });
  EXPECT_FALSE(result.ok());
}

}  // namespace
}  // namespace crisp::image
