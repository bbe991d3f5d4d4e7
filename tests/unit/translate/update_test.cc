// UpdateContainerResources: what is asked for replaces, the rest stays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/translate/resources.h"
#include "tests/unit/translate/fixture.h"

namespace crisp::cri {
namespace {

constexpr auto kMode = runtime::CgroupMode::kV2;

v1::LinuxContainerResources Current() {
  v1::LinuxContainerResources current;
  current.set_cpu_shares(512);
  current.set_memory_limit_in_bytes(100 << 20);
  current.set_oom_score_adj(900);
  v1::HugepageLimit* huge = current.add_hugepage_limits();
  huge->set_page_size("2MB");
  huge->set_limit(7);
  (*current.mutable_unified())["memory.low"] = "1";
  return current;
}

TEST(TranslateUpdate, LeavesWhatIsNotAskedFor) {
  v1::LinuxContainerResources change;
  change.set_cpu_quota(20000);
  const auto update = TranslateUpdate(Current(), change, kMode);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->merged.cpu_shares(), 512);
  EXPECT_EQ(update->merged.cpu_quota(), 20000);
  EXPECT_EQ(update->merged.unified().at("memory.low"), "1");
  EXPECT_EQ(update->change.limits.cpu_quota_us, 20000);
  EXPECT_FALSE(update->change.limits.cpu_shares.has_value());
  EXPECT_FALSE(update->change.limits.memory_bytes.has_value());
  EXPECT_TRUE(update->change.limits.hugepages.empty());
  EXPECT_TRUE(update->change.limits.unified.empty());
  EXPECT_FALSE(update->oom_score_adj);
  EXPECT_EQ(update->whole.limits.memory_bytes, 100 << 20);
  EXPECT_EQ(update->whole.oom_score_adj, 900);
}

TEST(TranslateUpdate, MemoryAndSwapGoTogether) {
  v1::LinuxContainerResources change;
  change.set_memory_limit_in_bytes(200 << 20);
  auto update = TranslateUpdate(Current(), change, kMode);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->change.limits.memory_swap_bytes, 200 << 20) << "still no swap";

  v1::LinuxContainerResources swap;
  swap.set_memory_swap_limit_in_bytes(150 << 20);
  update = TranslateUpdate(Current(), swap, kMode);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->change.limits.memory_bytes, 100 << 20);
  EXPECT_EQ(update->change.limits.memory_swap_bytes, 150 << 20);
  // Raising memory alone above what memory and swap may use together.
  const Status refused = TranslateUpdate(update->merged, change, kMode).status();
  EXPECT_TRUE(Refuses(refused, "memory_swap_limit_in_bytes")) << refused;
}

TEST(TranslateUpdate, ListsMergeByTheirKey) {
  v1::LinuxContainerResources change;
  v1::HugepageLimit* huge = change.add_hugepage_limits();
  huge->set_page_size("2MB");
  huge->set_limit(9);
  change.add_hugepage_limits()->set_page_size("1GB");
  (*change.mutable_unified())["memory.high"] = "2";
  change.set_oom_score_adj(1000);
  const auto update = TranslateUpdate(Current(), change, kMode);
  ASSERT_TRUE(update.ok()) << update.status();
  ASSERT_EQ(update->merged.hugepage_limits_size(), 2);
  EXPECT_EQ(update->merged.hugepage_limits(0).limit(), 9u);
  EXPECT_EQ(update->merged.unified_size(), 2);
  EXPECT_EQ(update->change.limits.unified.size(), 1u);
  EXPECT_TRUE(update->oom_score_adj);
}

TEST(TranslateUpdate, RefusesWhatCreateRefuses) {
  v1::LinuxContainerResources change;
  change.set_cpu_quota(1);
  EXPECT_TRUE(Refuses(TranslateUpdate(Current(), change, kMode).status(), "cpu_quota"));
  change = {};
  (*change.mutable_unified())["memory.reclaim"] = "1";
  EXPECT_TRUE(Refuses(TranslateUpdate(Current(), change, kMode).status(), "unified"));
}

}  // namespace
}  // namespace crisp::cri
