#include "cri/pods/janitor.h"

#include <gtest/gtest.h>

#include <atomic>

namespace crisp::cri {
namespace {

TEST(Janitor, RepeatsWhatFailsAndDoesTheRestMeanwhile) {
  Janitor janitor;
  std::atomic<int> tries{0}, others{0};
  janitor.Queue("stubborn",
                [&] { return ++tries < 3 ? absl::UnavailableError("busy") : absl::OkStatus(); });
  for (int i = 0; i < 10; ++i) {
    janitor.Queue("easy", [&] {
      ++others;
      return absl::OkStatus();
    });
  }
  EXPECT_TRUE(janitor.Quiesce(30'000));
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(others, 10);
}

}  // namespace
}  // namespace crisp::cri
