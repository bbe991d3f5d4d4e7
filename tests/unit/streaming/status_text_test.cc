#include "cri/streaming/status_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/json.h"

namespace crisp::streaming {
namespace {

TEST(EndTextTest, Versions) {
  EXPECT_EQ(EndText(0, 4), R"({"metadata":{},"status":"Success"})");
  const auto seven = ParseJson(EndText(7, 5));
  ASSERT_TRUE(seven.ok()) << seven.status();
  EXPECT_EQ((*seven)["reason"], "NonZeroExitCode");
  EXPECT_EQ((*seven)["details"]["causes"][0]["reason"], "ExitCode");
  EXPECT_EQ((*seven)["details"]["causes"][0]["message"], "7");
  EXPECT_EQ(EndText(0, 3), "");
  EXPECT_EQ(EndText(7, 1), "command terminated with exit code 7");
  EXPECT_EQ(EndText(absl::NotFoundError("gone"), 2), "gone");
}

TEST(EndTextTest, AnErrorsTextIsSafeJson) {
  const auto error = ParseJson(EndText(absl::InternalError("a \"b\" \\ \n\x01\xff"), 4));
  ASSERT_TRUE(error.ok()) << error.status();
  EXPECT_EQ((*error)["reason"], "InternalError");
  EXPECT_EQ((*error)["message"], "a \"b\" \\ \n??");
  EXPECT_EQ((*error)["code"], 500);
  EXPECT_LT(EndText(absl::InternalError(std::string(1 << 20, 'x')), 4).size(), 10'000);
}

TEST(ResizeTest, TheNewestCounts) {
  ResizeParser parser;
  WindowSize size;
  EXPECT_FALSE(parser.Take(&size));
  parser.Feed(R"({"Width":80,"Height":24}{"Width":100,"Height":50})");
  EXPECT_TRUE(parser.Take(&size));
  EXPECT_EQ(size.width, 100);
  EXPECT_EQ(size.height, 50);
  EXPECT_FALSE(parser.Take(&size));
}

TEST(ResizeTest, InPiecesWithSpaceAndOtherCase) {
  ResizeParser parser;
  WindowSize size;
  for (const char c : std::string("\n{ \"width\" : 1 ,\n\"HEIGHT\" : 65535 }\n"))
    parser.Feed({&c, 1});
  EXPECT_TRUE(parser.Take(&size));
  EXPECT_EQ(size.width, 1);
  EXPECT_EQ(size.height, 65535);
}

TEST(ResizeTest, WhatIsNoneIsSkipped) {
  ResizeParser parser;
  WindowSize size;
  for (const std::string bad :
       {"rubbish", "{}", "{\"Width\":0,\"Height\":0}", "{\"Width\":-1,\"Height\":2}",
        "{\"Width\":\"8\"}", "}}}", "{{{{", "{\"Width\":80.5,\"Height\":1}"})
    parser.Feed(bad);
  parser.Feed("{\"Width\":8" + std::string(1 << 20, ' ') + "}");
  EXPECT_FALSE(parser.Take(&size));
  parser.Feed(R"({"Width":70000,"Height":3})");
  EXPECT_TRUE(parser.Take(&size));
  EXPECT_EQ(size.width, 65535);
}

}  // namespace
}  // namespace crisp::streaming
