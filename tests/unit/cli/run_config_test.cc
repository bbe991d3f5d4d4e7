#include "cri/cli/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/cli/objects.h"

namespace crisp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

StatusOr<RunPlan> Make(std::vector<std::string> words) {
  words.insert(words.begin(), "run");
  auto call = ParseArguments(words);
  if (!call.ok()) return call.status();
  return MakeRunPlan(*call, "abc123", "some-uid");
}

TEST(RunConfig, Defaults) {
  auto plan = Make({"docker.io/library/busybox:1.36", "sleep", "5"});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->name, "busybox-abc123");
  EXPECT_EQ(plan->pod.metadata().namespace_(), "default");
  EXPECT_EQ(plan->pod.metadata().uid(), "some-uid");
  EXPECT_EQ(plan->pod.hostname(), "busybox-abc123");
  EXPECT_EQ(plan->pod.log_directory(), "/var/log/crisp/busybox-abc123");
  EXPECT_EQ(plan->container.log_path(), "busybox-abc123.log");
  EXPECT_EQ(plan->pod.labels().count(kRunLabel), 1u);
  EXPECT_THAT(plan->container.args(), ElementsAre("sleep", "5"));
  EXPECT_EQ(plan->container.command_size(), 0);
  const auto& security = plan->container.linux().security_context();
  EXPECT_EQ(security.namespace_options().network(), v1::POD);
  EXPECT_EQ(security.namespace_options().pid(), v1::CONTAINER);
  EXPECT_EQ(security.seccomp().profile_type(), v1::SecurityProfile::RuntimeDefault);
  EXPECT_GT(security.masked_paths_size(), 5);
  EXPECT_GT(security.readonly_paths_size(), 3);
  EXPECT_FALSE(security.privileged());
}

TEST(RunConfig, Options) {
  auto plan = Make({"--net", "host", "--privileged", "-u", "7:8", "-v", "/a:/b:ro", "-v", "/c:/d",
                    "-e", "K=a=b", "-e", "CRISP_TEST_NOT_SET", "-w", "/w", "--name", "x", "img"});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->pod.hostname(), "");
  EXPECT_TRUE(plan->pod.linux().security_context().privileged());
  const auto& security = plan->container.linux().security_context();
  EXPECT_EQ(security.namespace_options().network(), v1::NODE);
  EXPECT_EQ(security.seccomp().profile_type(), v1::SecurityProfile::Unconfined);
  EXPECT_EQ(security.masked_paths_size(), 0);
  EXPECT_EQ(security.run_as_user().value(), 7);
  EXPECT_EQ(security.run_as_group().value(), 8);
  ASSERT_EQ(plan->container.mounts_size(), 2);
  EXPECT_TRUE(plan->container.mounts(0).readonly());
  EXPECT_EQ(plan->container.mounts(1).container_path(), "/d");
  ASSERT_EQ(plan->container.envs_size(), 1);
  EXPECT_EQ(plan->container.envs(0).value(), "a=b");
  EXPECT_EQ(plan->container.working_dir(), "/w");
  EXPECT_EQ(Make({"-u", "nobody", "img"})->container.linux().security_context().run_as_username(),
            "nobody");
}

TEST(RunConfig, RefusalsNameTheOption) {
  const struct {
    std::vector<std::string> words;
    const char* error;
  } cases[] = {{{"--net", "none", "i"}, "--net"},    {{"-v", "a:/b", "i"}, "absolute"},
               {{"-v", "/a", "i"}, "--mount"},       {{"-v", "/a:/b:rx", "i"}, "--mount"},
               {{"-e", "=x", "i"}, "--env"},         {{"-u", "1:2:3", "i"}, "--user"},
               {{"-u", "1:staff", "i"}, "group"},    {{"--name", "../x", "i"}, "--name"},
               {{"--name", "UPPER", "i"}, "--name"}, {{"--name", "", "i"}, "--name"},
               {{"--name", "-x", "i"}, "--name"}};
  for (const auto& row : cases)
    EXPECT_THAT(std::string(Make(row.words).status().message()), HasSubstr(row.error));
}

TEST(RunConfig, NamesOfImages) {
  const struct {
    const char* image;
    const char* name;
  } cases[] = {{"busybox", "busybox"},
               {"127.0.0.1:5000/a/My_App:2", "my-app"},
               {"r.example/x@sha256:0123", "x"},
               {"sha256:0123", "sha256"},
               {"..", "container"}};
  for (const auto& row : cases) {
    EXPECT_EQ(NameOfImage(row.image), row.name);
    EXPECT_TRUE(IsRunName(NameOfImage(row.image)));
  }
}

}  // namespace
}  // namespace crisp::cli
