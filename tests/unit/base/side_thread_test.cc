#include "runtime/base/side_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace crisp {
namespace {

// Keeps the thread busy until it is let go.
class Blocker {
 public:
  explicit Blocker(SideThread* side)
      : step_(side, [this] {
          started_.store(true);
          started_.notify_all();
          free_.wait(false);
          return absl::OkStatus();
        }) {
    started_.wait(false);
  }
  ~Blocker() { Free(); }
  void Free() {
    free_.store(true);
    free_.notify_all();
  }

 private:
  std::atomic<bool> started_{false}, free_{false};
  SideStep step_;
};

TEST(SideThread, GivesTheStepsResult) {
  SideThread side;
  SideStep good(&side, [] { return absl::OkStatus(); });
  SideStep bad(&side, [] { return absl::NotFoundError("gone"); });
  EXPECT_TRUE(good.Join().ok());
  EXPECT_EQ(bad.Join(), absl::NotFoundError("gone"));
}

TEST(SideThread, RunsBesideItsCaller) {
  SideThread side;
  Blocker blocker(&side);  // returns once its step runs, with nobody joining it
}

TEST(SideThread, WhoJoinsAStepThatStillWaitsRunsIt) {
  SideThread side;
  Blocker blocker(&side);
  const auto self = std::this_thread::get_id();
  std::thread::id ran;
  SideStep step(&side, [&] {
    ran = std::this_thread::get_id();
    return absl::OkStatus();
  });
  EXPECT_TRUE(step.Join().ok());
  EXPECT_EQ(ran, self);
}

TEST(SideThread, AStepThatNobodyTookIsDroppedWithItsScope) {
  SideThread side;
  bool ran = false;
  {
    Blocker blocker(&side);
    {
      SideStep step(&side, [&] {
        ran = true;
        return absl::OkStatus();
      });
    }
    blocker.Free();
  }
  EXPECT_FALSE(ran);
}

TEST(SideThread, AScopeWaitsForAStepUnderWay) {
  SideThread side;
  bool done = false;
  std::atomic<bool> started{false};
  {
    SideStep step(&side, [&] {
      started.store(true);
      started.notify_all();
      done = true;
      return absl::OkStatus();
    });
    started.wait(false);
  }
  EXPECT_TRUE(done);
}

TEST(SideThread, WithoutAThreadTheStepRunsWhenJoined) {
  bool ran = false;
  SideStep dropped(nullptr, [&] { return absl::InternalError("never run"); });
  SideStep step(nullptr, [&] {
    ran = true;
    return absl::OkStatus();
  });
  EXPECT_FALSE(ran);
  EXPECT_TRUE(step.Join().ok());
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace crisp
