#include "cri/pods/lifecycle.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace crisp::cri {
namespace {

// Every pair, against the diagram of lifecycle.h.
TEST(Lifecycle, ContainerPairs) {
  using S = ContainerState;
  const std::set<std::pair<S, S>> allowed = {
      {S::kCreated, S::kStarting}, {S::kCreated, S::kExited},  {S::kCreated, S::kRemoving},
      {S::kStarting, S::kRunning}, {S::kStarting, S::kExited}, {S::kStarting, S::kCreated},
      {S::kRunning, S::kExited},   {S::kExited, S::kRemoving}};
  for (int from = 0; from <= 4; ++from) {
    for (int to = 0; to <= 4; ++to) {
      const std::pair<S, S> pair{static_cast<S>(from), static_cast<S>(to)};
      EXPECT_EQ(CanChange(pair.first, pair.second), allowed.count(pair) > 0)
          << Name(pair.first) << " -> " << Name(pair.second);
    }
  }
}

TEST(Lifecycle, PodPairs) {
  using S = PodState;
  for (int from = 0; from <= 3; ++from) {
    for (int to = 0; to <= 3; ++to) {
      EXPECT_EQ(CanChange(static_cast<S>(from), static_cast<S>(to)), to == from + 1)
          << from << " -> " << to;
    }
  }
}

}  // namespace
}  // namespace crisp::cri
