#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/cli/verb.h"

namespace crisp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Arguments, CommandOfTheContainerKeepsItsOptions) {
  auto call = ParseArguments({"run", "-d", "--name=web", "-e", "A=b", "-eC=d", "busybox", "ls",
                              "-d", "--help", "--", "x"});
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->verb, "run");
  EXPECT_TRUE(call->Has("detach"));
  EXPECT_FALSE(call->Has("help"));
  EXPECT_EQ(call->Get("name"), "web");
  EXPECT_THAT(call->All("env"), ElementsAre("A=b", "C=d"));
  EXPECT_THAT(call->args, ElementsAre("busybox", "ls", "-d", "--help", "--", "x"));
}

TEST(Arguments, OptionsMayFollowOtherArguments) {
  auto call = ParseArguments({"--endpoint", "unix:///x", "logs", "web", "-f", "--tail", "3"});
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->Get("endpoint"), "unix:///x");
  EXPECT_TRUE(call->Has("follow"));
  EXPECT_EQ(*call->GetInt("tail", -1, 0, 10), 3);
  EXPECT_THAT(call->args, ElementsAre("web"));
}

TEST(Arguments, NoVerbIsHelp) {
  EXPECT_EQ(ParseArguments({})->verb, "help");
  EXPECT_EQ(ParseArguments({"--help"})->verb, "help");
  EXPECT_TRUE(ParseArguments({"exec", "--help"})->Has("help"));
}

TEST(Arguments, Refusals) {
  const struct {
    std::vector<std::string> words;
    const char* error;
  } cases[] = {
      {{"fly"}, "unknown verb"},
      {{"ps", "--al"}, "unknown option --al, see crisp ps --help"},
      {{"ps", "-aX"}, "unknown option -X"},
      {{"ps", "--all=yes"}, "--all takes no value"},
      {{"logs", "x", "--tail"}, "--tail needs a value: N"},
      {{"logs"}, "usage: crisp logs [options] CONTAINER"},
      {{"logs", "a", "b"}, "usage: crisp logs"},
      {{"exec", "web"}, "usage: crisp exec [options] CONTAINER CMD..."},
      {{"ps", "-o", "yaml"}, "must be json"},
  };
  for (const auto& row : cases)
    EXPECT_THAT(std::string(ParseArguments(row.words).status().message()), HasSubstr(row.error));
}

TEST(Arguments, NumbersAreChecked) {
  for (const char* text : {"x", "-1", "11", "1e3", ""}) {
    auto call = ParseArguments({"logs", "a", absl::StrCat("--tail=", text)});
    ASSERT_TRUE(call.ok());
    EXPECT_THAT(std::string(call->GetInt("tail", 0, 0, 10).status().message()),
                HasSubstr("--tail"));
  }
}

TEST(Arguments, EveryVerbHasHelpWithItsOptions) {
  for (const Verb& verb : Verbs()) {
    EXPECT_THAT(Overview(), HasSubstr(absl::StrCat("  ", verb.name, " ")));
    for (const Option& option : verb.options)
      EXPECT_THAT(HelpFor(verb), HasSubstr(absl::StrCat("--", option.name)));
  }
}

TEST(Client, MissingSocketHasAHint) {
  auto call = ParseArguments({"ps", "--endpoint", "unix:///nonexistent/crisp.sock"});
  EXPECT_THAT(std::string(ConnectFor(*call).status().message()),
              HasSubstr("no socket at /nonexistent/crisp.sock: is crispd running?"));
  call = ParseArguments({"ps", "--endpoint", "tcp://1.2.3.4:5"});
  EXPECT_THAT(std::string(ConnectFor(*call).status().message()), HasSubstr("endpoint"));
}

}  // namespace
}  // namespace crisp::cli
