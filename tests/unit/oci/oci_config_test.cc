#include "runtime/oci/oci_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/json.h"
#include "runtime/oci/bundle.h"

namespace crisp::runtime {
namespace {

using testing::HasSubstr;

class OciConfigTest : public testing::Test {
 protected:
  OciConfigTest() {
    spec_.args = {"/bin/sh", "-c", "true"};
    spec_.env = {"A=b"};
    input_.spec = &spec_;
    input_.identity = &identity_;
    input_.rootfs = "/b/rootfs";
    input_.files = "/b/files";
    input_.cgroup = "/pods/c";
  }
  Json Make() {
    const auto text = MakeOciConfig(input_);
    EXPECT_TRUE(text.ok()) << text.status();
    return ParseJson(*text).value_or(Json());
  }

  ContainerSpec spec_;
  Identity identity_;
  OciInput input_;
};

TEST_F(OciConfigTest, ProcessAndUser) {
  identity_ = {1000, 1001, {1001, 7}, "/home/u"};
  spec_.no_new_privs = true;
  spec_.rlimits = {{7, 10, 20}};
  const Json process = Make()["process"];
  EXPECT_EQ(process["args"], Json({"/bin/sh", "-c", "true"}));
  EXPECT_EQ(process["env"], Json({"A=b", "HOME=/home/u"}));
  EXPECT_EQ(process["user"]["uid"], 1000);
  EXPECT_EQ(process["user"]["additionalGids"], Json({1001, 7}));
  EXPECT_EQ(process["noNewPrivileges"], true);
  EXPECT_EQ(process["rlimits"][0], Json({{"type", "RLIMIT_NOFILE"}, {"soft", 10}, {"hard", 20}}));
}

TEST_F(OciConfigTest, NamespacesOfThePodOnly) {
  input_.net = "/proc/1/fd/9";
  const Json namespaces = Make()["linux"]["namespaces"];
  EXPECT_EQ(namespaces.size(), 4u);  // pid, mount, cgroup are new; no ipc, no uts: the host's
  EXPECT_EQ(namespaces.back(), Json({{"type", "network"}, {"path", "/proc/1/fd/9"}}));
}

TEST_F(OciConfigTest, MountsOfThePodReplaceOurs) {
  BindMount hosts;
  hosts.host_path = "/h/hosts";
  hosts.target = "/etc/hosts";
  hosts.readonly = hosts.recursive_readonly = true;
  spec_.mounts = {hosts};
  int seen = 0;
  const Json config = Make();  // outlives the loop
  for (const Json& mount : config["mounts"]) {
    if (mount["destination"] != "/etc/hosts") continue;
    ++seen;
    EXPECT_EQ(mount["source"], "/h/hosts");
    EXPECT_EQ(mount["options"], Json({"rbind", "rprivate", "ro", "rro"}));
  }
  EXPECT_EQ(seen, 1);
}

TEST_F(OciConfigTest, SeccompOnlyWhereAsked) {
  EXPECT_FALSE(Make()["linux"].contains("seccomp"));
  input_.default_seccomp = true;
  const Json seccomp = Make()["linux"]["seccomp"];
  EXPECT_EQ(seccomp["defaultAction"], "SCMP_ACT_ERRNO");
  EXPECT_GT(seccomp["syscalls"].size(), 300u);
}

TEST_F(OciConfigTest, RefusesWhatJsonCannotCarry) {
  spec_.args.push_back("\xff");
  EXPECT_THAT(std::string(MakeOciConfig(input_).status().message()), HasSubstr("UTF-8"));
}

TEST(OciLogTest, LastErrorOfForeignText) {
  EXPECT_EQ(LastError(""), "");
  EXPECT_EQ(LastError("not json\n{\"level\":\"error\"}\n[1]\n"), "");
  EXPECT_EQ(LastError("{\"level\":\"error\",\"msg\":\"a\"}\n{\"level\":\"error\",\"msg\":\"b\"}\n"
                      "{\"level\":\"info\",\"msg\":\"c\"}\n"),
            "b");
}

}  // namespace
}  // namespace crisp::runtime
