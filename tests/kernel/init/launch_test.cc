// What a process finds when the launcher has made it the first of a container.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/kernel/init/launch_rig.h"

namespace crisp::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Launch, RunsAProgramAsPidOne) {
  LaunchRig rig;
  const RunResult run = rig.Shell("echo pid $$; ls -d /proc/[0-9]*");
  EXPECT_EQ(run.Error(), "");
  EXPECT_THAT(run.out, HasSubstr("pid 1\n"));
  EXPECT_EQ(run.exit_code, 0) << run.out;
}

}  // namespace
}  // namespace crisp::testing
