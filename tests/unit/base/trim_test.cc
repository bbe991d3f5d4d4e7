#include "runtime/base/trim.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace crisp {
namespace {

// Resident pages of files that nobody wrote to, in kB.
long ResidentFilesKb() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("RssFile:", 0) == 0) return atol(line.c_str() + 8);
  }
  return -1;
}

TEST(TrimTest, CodeGoesAndComesBack) {
  const long before = ResidentFilesKb();
  ASSERT_GT(before, 0);
  GiveBackIdleMemory();
  EXPECT_LT(ResidentFilesKb(), before);
  std::thread([] { GiveBackIdleMemory(); }).join();  // while another thread runs
  EXPECT_GT(ResidentFilesKb(), 0);
}

}  // namespace
}  // namespace crisp
