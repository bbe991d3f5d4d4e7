#include "cri/pods/mcs_levels.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

namespace crisp::cri {
namespace {

TEST(McsLevels, PairsAreOrderedAndDiffer) {
  McsLevels levels;
  std::set<std::string> seen;
  std::vector<std::shared_ptr<const std::string>> held;
  for (int i = 0; i < 2000; ++i) {
    auto level = levels.Pick();
    ASSERT_TRUE(level.ok()) << level.status();
    int low = -1, high = -1;
    ASSERT_EQ(sscanf((*level)->c_str(), "s0:c%d,c%d", &low, &high), 2) << **level;
    EXPECT_TRUE(0 <= low && low < high && high < 1024) << **level;
    EXPECT_TRUE(seen.insert(**level).second) << **level;
    held.push_back(*level);
  }
}

TEST(McsLevels, TakenIsNotPickedAndFreedIsFree) {
  McsLevels levels;
  std::vector<std::shared_ptr<const std::string>> held;
  for (int low = 0; low < 1024; ++low) {
    for (int high = low + 1; high < 1024; ++high) {
      if (low != 5 || high != 9) {
        held.push_back(levels.Take("s0:c" + std::to_string(low) + ",c" + std::to_string(high)));
      }
    }
  }
  for (int tries = 0; tries < 20; ++tries) {  // one pair in 523776 is free: mostly none is found
    const auto level = levels.Pick();
    if (level.ok()) {
      EXPECT_EQ(**level, "s0:c5,c9");
    }
  }
  held.clear();
  EXPECT_TRUE(levels.Pick().ok());
}

}  // namespace
}  // namespace crisp::cri
