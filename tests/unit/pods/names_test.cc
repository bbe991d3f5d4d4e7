#include "cri/pods/names.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace crisp::cri {
namespace {

TEST(Names, OneMakerAndAllOthersGetItsResult) {
  NameTable names;
  NameClaim maker = names.Claim("pod/a");
  ASSERT_TRUE(maker.is_maker());
  std::vector<std::thread> threads;
  std::vector<StatusOr<std::string>> results(16, absl::UnknownError(""));
  for (auto& result : results) {
    threads.emplace_back([&names, &result] {
      NameClaim claim = names.Claim("pod/a");
      ASSERT_FALSE(claim.is_maker());
      result = claim.Wait(absl::Now() + absl::Seconds(30));
    });
  }
  maker.Finish(std::string("id1"));
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result.value(), "id1");
  EXPECT_FALSE(names.Claim("pod/a").is_maker());
  names.Free("pod/a");
  EXPECT_TRUE(names.Claim("pod/a").is_maker());
}

TEST(Names, AFailureReachesTheWaiterAndFreesTheName) {
  NameTable names;
  NameClaim maker = names.Claim("x");
  NameClaim waiter = names.Claim("x");
  maker.Finish(absl::InternalError("no network"));
  EXPECT_EQ(waiter.Wait(absl::Now() + absl::Seconds(30)).status().message(), "no network");
  EXPECT_TRUE(names.Claim("x").is_maker());
}

TEST(Names, AMakerThatVanishesCountsAsFailed) {
  NameTable names;
  { NameClaim maker = names.Claim("x"); }
  EXPECT_TRUE(names.Claim("x").is_maker());
}

TEST(Names, WaitEndsAtItsDeadline) {
  NameTable names;
  NameClaim maker = names.Claim("x");
  EXPECT_EQ(names.Claim("x").Wait(absl::Now() + absl::Milliseconds(5)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace crisp::cri
