#include "runtime/cgroup/slice_kills.h"

#include <gtest/gtest.h>

#include <optional>

namespace crisp::runtime {
namespace {

// A cgroup that counts, and does no more once it is gone.
struct Group {
  uint64_t kills = 0;
  bool gone = false;
  SliceKills::Counter counter() {
    return [this]() -> StatusOr<uint64_t> {
      if (gone) return absl::NotFoundError("gone");
      return kills;
    };
  }
};

class SliceKillsTest : public testing::Test {
 protected:
  SliceKills::Entry Enter(const char* unit, Group& group) {
    return {&all_, "/slice", unit, slice_.counter(), group.counter()};
  }
  void Kill(Group& group) { ++group.kills, ++slice_.kills; }

  SliceKills all_;
  Group slice_, a_, b_, c_;
};

TEST_F(SliceKillsTest, TheGroupsOwnWhileItIsThere) {
  slice_.kills = 3;  // before our time
  const auto a = Enter("a", a_), b = Enter("b", b_);
  Kill(a_);
  Kill(b_);
  Kill(b_);
  EXPECT_EQ(*a.Kills(true), 1u);
  EXPECT_EQ(*b.Kills(false), 2u);
}

TEST_F(SliceKillsTest, WhatIsLeftIsThatOfTheOneThatIsGone) {
  slice_.kills = 3;
  const auto a = Enter("a", a_), b = Enter("b", b_), c = Enter("c", c_);
  Kill(b_);
  Kill(a_);
  a_.gone = true;
  EXPECT_EQ(*a.Kills(false), 1u);
  Kill(b_);
  EXPECT_EQ(*a.Kills(true), 1u) << "a later kill elsewhere";
  c_.gone = true;
  EXPECT_EQ(*c.Kills(true), 0u);
  b_.gone = true;
  EXPECT_EQ(*b.Kills(false), 2u);
}

TEST_F(SliceKillsTest, OfSeveralThatWentAtOnceTheLikelyOne) {
  const auto a = Enter("a", a_), b = Enter("b", b_);
  Kill(b_);
  a_.gone = b_.gone = true;
  EXPECT_EQ(*a.Kills(false), 0u);
  EXPECT_EQ(*b.Kills(false), 1u) << "the last one: nobody else is left";

  Group d, e;
  const auto f = Enter("d", d), g = Enter("e", e);
  Kill(d);
  d.gone = e.gone = true;
  EXPECT_EQ(*f.Kills(true), 1u);
  EXPECT_EQ(*g.Kills(true), 0u);
}

TEST_F(SliceKillsTest, WhoLeftTakesItsKillsAlong) {
  std::optional<SliceKills::Entry> a, again;
  a.emplace(&all_, "/slice", "a", slice_.counter(), a_.counter());
  const auto b = Enter("b", b_);
  again.emplace(&all_, "/slice", "a", slice_.counter(), a_.counter());  // a second object of it
  Kill(a_);
  a.reset();
  a_.gone = true;
  again.reset();  // nobody asked: its kill must not be taken for b's
  b_.gone = true;
  EXPECT_EQ(*b.Kills(true), 0u);
}

TEST_F(SliceKillsTest, WithoutTheSliceNothingIsKnown) {
  const auto a = Enter("a", a_);
  Kill(a_);
  a_.gone = slice_.gone = true;
  EXPECT_FALSE(a.Kills(true).ok());
}

}  // namespace
}  // namespace crisp::runtime
