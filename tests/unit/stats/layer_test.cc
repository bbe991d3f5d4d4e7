#include "runtime/stats/layer_usage.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace crisp::runtime {
namespace {

class LayerTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-layer-XXXXXX";
    dir_ = mkdtemp(folder);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void File(const std::string& name, size_t size) {
    std::ofstream(dir_ + "/" + name) << std::string(size, 'x');
  }
  std::string dir_;
};

TEST_F(LayerTest, CountsFilesFoldersAndLinksOnce) {
  File("a", 100 << 10);
  std::filesystem::create_directory(dir_ + "/sub");
  File("sub/b", 10 << 10);
  std::filesystem::create_hard_link(dir_ + "/a", dir_ + "/sub/again");
  std::filesystem::create_symlink("/", dir_ + "/root");  // never followed
  ASSERT_EQ(mkfifo((dir_ + "/fifo").c_str(), 0600), 0);  // never opened
  const auto size = WalkLayer(dir_, 1000);
  ASSERT_TRUE(size.ok());
  EXPECT_TRUE(size->complete);
  EXPECT_EQ(size->inodes, 6u);  // the folder itself, a, sub, b, root, fifo
  EXPECT_GE(size->bytes, 110u << 10);
  EXPECT_LT(size->bytes, 200u << 10);
  EXPECT_GT(size->time_nanos, 0);
}

TEST_F(LayerTest, EndsAtItsLimit) {
  for (int i = 0; i < 50; ++i) File("f" + std::to_string(i), 1);
  const auto size = WalkLayer(dir_, 10);
  ASSERT_TRUE(size.ok());
  EXPECT_FALSE(size->complete);
  EXPECT_EQ(size->inodes, 10u);
}

TEST_F(LayerTest, DeepFoldersEnd) {
  std::string path = dir_;
  for (int i = 0; i < 150; ++i) {
    path += "/d";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  }
  const auto size = WalkLayer(dir_, 1000);
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(size->inodes, 101u);
}

TEST_F(LayerTest, CancelledAndMissing) {
  const std::atomic<bool> stop{true};
  EXPECT_EQ(WalkLayer(dir_, 10, &stop).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(WalkLayer(dir_ + "/no", 10).status().code(), absl::StatusCode::kNotFound);
}

// The first call of a small layer has a result at once; a large one is measured in the background.
TEST_F(LayerTest, MeterDoesNotWaitForLargeLayers) {
  File("a", 1);
  LayerMeter meter;
  EXPECT_EQ(meter.Size(std::make_shared<LayerGauge>(dir_))->inodes, 2u);
  for (int i = 0; i < 400; ++i) File("f" + std::to_string(i), 1);
  const auto large = std::make_shared<LayerGauge>(dir_);
  EXPECT_FALSE(meter.Size(large));
  for (int i = 0; i < 10000 && !meter.Size(large); ++i) usleep(1000);
  ASSERT_TRUE(meter.Size(large));
  EXPECT_EQ(meter.Size(large)->inodes, 402u);
  // Within its age the same result.
  File("new", 1);
  EXPECT_EQ(meter.Size(large)->inodes, 402u);
}

}  // namespace
}  // namespace crisp::runtime
