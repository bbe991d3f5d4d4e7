#include "cri/pods/exit_board.h"

#include <gtest/gtest.h>

namespace crisp::cri {
namespace {

TEST(ExitBoard, ContainersGoToTheHandlerExecsToTheirWaiter) {
  ExitBoard board;
  std::mutex mu;
  std::vector<std::string> handled;
  board.Post({"container1", 0, 1});  // before Start: nothing is lost
  board.Start([&](const keeper::ExitEvent& event) {
    std::lock_guard<std::mutex> lock(mu);
    if (event.id.substr(0, 9) != "container") return false;
    handled.push_back(event.id);
    return true;
  });
  board.Post({"exec1", 256, 1});
  EXPECT_EQ(board.TakeExec("exec1", 30'000).value(), 256);
  EXPECT_EQ(board.TakeExec("exec1", 5).status().code(), absl::StatusCode::kDeadlineExceeded);
  std::lock_guard<std::mutex> lock(mu);
  EXPECT_EQ(handled, std::vector<std::string>{"container1"});
}

}  // namespace
}  // namespace crisp::cri
