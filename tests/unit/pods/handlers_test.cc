#include "cri/pods/handlers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crisp::cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(RlimitTest, Forms) {
  const auto both = ParseRlimit("nofile=10:20");
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->resource, 7);
  EXPECT_EQ(both->soft, 10u);
  EXPECT_EQ(both->hard, 20u);
  EXPECT_EQ(ParseRlimit("core=unlimited")->hard, ~0ull);
  for (const char* bad : {"", "nofile", "nofile=", "files=1", "nofile=2:1", "nofile=-1",
                          "nofile=1:", "nofile=1:2:3", "NOFILE=1"}) {
    EXPECT_FALSE(ParseRlimit(bad).ok()) << bad;
  }
}

TEST(HandlersTest, KnownAndUnknown) {
  const auto all = Handlers::Make({{"small", {"", {}, {"core=0"}, ""}}}, "/state/oci");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(all->Names(), ElementsAre("", "crisp", "small"));
  EXPECT_TRUE(all->Find("small").ok());
  EXPECT_THAT(std::string(all->Find("kata").status().message()), HasSubstr("\"kata\""));
}

TEST(HandlersTest, RefusedAtStart) {
  EXPECT_THAT(
      std::string(
          Handlers::Make({{"a", {"/no/such/program", {}, {}, ""}}}, "/s").status().message()),
      HasSubstr("/no/such/program"));
  EXPECT_THAT(std::string(Handlers::Make({{"a", {"", {"--x"}, {}, ""}}}, "/s").status().message()),
              HasSubstr("handlers.a.runtime_args"));
  EXPECT_THAT(std::string(Handlers::Make({{"a", {"", {}, {"x=1"}, ""}}}, "/s").status().message()),
              HasSubstr("handlers.a.rlimits"));
}

}  // namespace
}  // namespace crisp::cri
