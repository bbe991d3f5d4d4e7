#include "cri/cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/api/cri.h"

namespace crisp::cli {
namespace {

using ::testing::HasSubstr;

TEST(Output, TableIsAlignedAndSafe) {
  Table table({"ID", "NAME", "X"});
  table.Add({"1", "a", "y"});
  table.Add({"333", "b\x1b[31m", ""});
  table.Add({"22", "\xc3\xbc", "z"});  // two bytes, one column
  EXPECT_EQ(table.Text(),
            "ID    NAME     X\n"
            "1     a        y\n"
            "333   b?[31m   \n"
            "22    \xc3\xbc        z\n");
}

TEST(Output, Ages) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t now = 1'700'000'000 * kSecond;
  const struct {
    int64_t seconds;
    const char* text;
  } cases[] = {{0, "0s"},    {119, "119s"},  {120, "2m"},    {7199, "119m"},
               {7200, "2h"}, {86400, "24h"}, {172800, "2d"}, {-5, "0s"}};
  for (const auto& row : cases) EXPECT_EQ(Age(now - row.seconds * kSecond, now), row.text);
  EXPECT_EQ(Age(0, now), "-");
}

TEST(Output, SizesAndIds) {
  EXPECT_EQ(Size(0), "0B");
  EXPECT_EQ(Size(999), "999B");
  EXPECT_EQ(Size(2'031'616), "2.03MB");
  EXPECT_EQ(Size(1'500'000'000), "1.5GB");
  EXPECT_EQ(ShortId("sha256:0123456789abcdef"), "0123456789abc");
  EXPECT_EQ(ShortIdIfDigest("busybox:1"), "busybox:1");
}

TEST(Output, InspectKeepsJsonStructuredAndForeignBytesHarmless) {
  v1::ContainerStatus status;
  status.set_id("abc");
  const std::string text =
      InspectText(status, {{"timing", "{\"total_us\": 5}"}, {"note", "no json \xff"}});
  EXPECT_THAT(text, HasSubstr("\"id\": \"abc\""));
  EXPECT_THAT(text, HasSubstr("\"total_us\": 5"));
  EXPECT_THAT(text, HasSubstr("\"note\": \"no json "));
}

}  // namespace
}  // namespace crisp::cli
