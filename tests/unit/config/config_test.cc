#include "cri/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_replace.h"
#include "cri/config/fields.h"
#include "runtime/base/files.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-config-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_EQ(mkdir((dir_ + "/conf.d").c_str(), 0700), 0);
    flags_.config = dir_ + "/crisp.toml";
    Write("crisp.toml", "");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(-100, dir_).ok()); }
  void Write(const std::string& name, absl::string_view text) {
    auto fd = OpenDir(name.find('/') == std::string::npos ? dir_ : dir_ + "/conf.d");
    ASSERT_TRUE(fd.ok());
    ASSERT_TRUE(
        WriteFileAtomic(fd->get(), name.substr(name.rfind('/') + 1), text, 0600, false).ok());
  }
  std::string ErrorOf(absl::string_view text) {
    Write("crisp.toml", text);
    auto config = LoadConfig(flags_);
    EXPECT_FALSE(config.ok()) << text;
    if (config.ok()) return "";
    return absl::StrReplaceAll(config.status().message(), {{dir_ + "/", ""}});
  }

  std::string dir_;
  CommandLine flags_;
};

TEST_F(ConfigTest, NoSettingAtAllGivesACompleteConfig) {
  auto config = LoadConfig(flags_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->root, "/var/lib/crisp");
  EXPECT_EQ(config->socket, "/run/crisp/crisp.sock");
  EXPECT_EQ(config->debug_socket, "/run/crisp/debug.sock");
  EXPECT_TRUE(config->network.builtin);
  EXPECT_TRUE(config->origins.empty());
}

TEST_F(ConfigTest, EveryKindOfSettingIsRead) {
  Write("crisp.toml", R"(
state = "/run/other"
log_level = "debug"
[network]
builtin = false
subnet = "10.1.0.0/24"
conf_dirs = ["/a", "/b"]
pool_size = 0
[registries."127.0.0.1:5000"]
endpoint = "http://127.0.0.1:5000"
plain_http = true
[registries."docker.io"]
ca_file = "/etc/ca.pem"
)");
  auto config = LoadConfig(flags_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->socket, "/run/other/crisp.sock");
  EXPECT_FALSE(config->network.builtin);
  EXPECT_THAT(config->network.conf_dirs, ElementsAre("/a", "/b"));
  EXPECT_EQ(config->network.pool_size, 0);
  ASSERT_EQ(config->registries.size(), 2u);
  EXPECT_TRUE(config->registries["127.0.0.1:5000"].plain_http);
  EXPECT_EQ(config->registries["docker.io"].ca_file, "/etc/ca.pem");
  EXPECT_EQ(config->origins["network.pool_size"], dir_ + "/crisp.toml:8");
}

TEST_F(ConfigTest, DropInsBeatTheFileAndFlagsBeatDropIns) {
  Write("crisp.toml", "root = \"/r1\"\nstate = \"/s1\"\nlog_level = \"error\"");
  Write("conf.d/20.toml", "state = \"/s3\"");
  Write("conf.d/10.toml", "state = \"/s2\"\nlog_level = \"debug\"");
  Write("conf.d/README", "this is not TOML");
  Write("conf.d/.30.toml.swp", "nor this");
  flags_.log_level = "warning";
  auto config = LoadConfig(flags_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->root, "/r1");
  EXPECT_EQ(config->state, "/s3");
  EXPECT_EQ(config->log_level, "warning");
  EXPECT_EQ(config->origins["state"], dir_ + "/conf.d/20.toml:1");
  EXPECT_EQ(config->origins["log_level"], "command line");
}

TEST_F(ConfigTest, NamedFileMustExist) {
  flags_.config = dir_ + "/missing.toml";
  EXPECT_THAT(std::string(LoadConfig(flags_).status().message()), HasSubstr("missing.toml"));
}

TEST_F(ConfigTest, ErrorsNameFileLineSettingAndReason) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"\nrot = \"/x\"", "crisp.toml:2: rot: unknown setting, did you mean root?"},
      {"[network]\nsubnets = \"10.0.0.0/16\"",
       "crisp.toml:2: network.subnets: unknown setting, did you mean network.subnet?"},
      {"zzzzzzzzzz = 1", "crisp.toml:1: zzzzzzzzzz: unknown setting"},
      {"[registries.\"docker.io\"]\nplainhttp = true",
       "crisp.toml:2: registries.\"docker.io\".plainhttp: unknown setting, did you mean "
       "registries.\"docker.io\".plain_http?"},
      {"[handlers.crisp]\nseccomp = \"\"",
       "crisp.toml:2: handlers.\"crisp\": is the built-in handler, which cannot be changed"},
      {"[handlers.A]\nseccomp = \"\"", "crisp.toml:2: handlers.\"A\": must be of a-z, 0-9 and -"},
      {"[handlers.a]\nruntime = \"crun\"",
       "crisp.toml:2: handlers.\"a\".runtime: must be an absolute path"},
      {"[handlers.a]\nseccomp = \"strict\"",
       "crisp.toml:2: handlers.\"a\".seccomp: must be runtime-default or empty"},
      {"[handlers.a]\nruntme = \"/x\"",
       "crisp.toml:2: handlers.\"a\".runtme: unknown setting, did you mean "
       "handlers.\"a\".runtime?"},
      {"root = 1", "crisp.toml:1: root: wants a string, not this integer"},
      {"[network]\npool_size = \"8\"",
       "crisp.toml:2: network.pool_size: wants an integer, not this string"},
      {"[network]\npool_size = 1.5",
       "crisp.toml:2: network.pool_size: wants an integer, not this floating-point"},
      {"[network]\nconf_dirs = [\"/a\", 1]",
       "crisp.toml:2: network.conf_dirs: wants an array of strings, not this array"},
      {"[network]\nbuiltin = \"yes\"",
       "crisp.toml:2: network.builtin: wants a boolean, not this string"},
      {"[network]\npool_size = 257", "crisp.toml:2: network.pool_size: must be 0 to 256"},
      {"[network]\npool_size = -1", "crisp.toml:2: network.pool_size: must be 0 to 256"},
      {"[log]\nmax_line_bytes = 10", "crisp.toml:2: log.max_line_bytes: must be 256 to 1048576"},
      {"root = \"relative\"", "crisp.toml:1: root: must be an absolute path"},
      {"root = \"/a/../b\"", "crisp.toml:1: root: must not contain \"..\""},
      {"[network]\nconf_dirs = [\"\"]", "crisp.toml:2: network.conf_dirs: \"\" must not be empty"},
      {"log_level = \"loud\"", "crisp.toml:1: log_level: must be debug, info, warning or error"},
      {"cgroup_driver = \"openrc\"",
       "crisp.toml:1: cgroup_driver: must be auto, cgroupfs or systemd"},
      {"metrics_address = \"localhost\"", "crisp.toml:1: metrics_address: must be ADDRESS:PORT"},
      {"metrics_address = \"1.2.3.4:0\"", "crisp.toml:1: metrics_address: must be ADDRESS:PORT"},
      {"[network]\nsubnet = \"10.85.0.1/16\"",
       "crisp.toml:2: network.subnet: has bits beyond the prefix"},
      {"[network]\nsubnet = \"10.85.0.0/33\"",
       "crisp.toml:2: network.subnet: prefix length must be 8 to 29"},
      {"[network]\nbridge = \"a-name-of-16-chr\"",
       "crisp.toml:2: network.bridge: must be an interface name of 1 to 15 characters"},
      {"[registries.\"a b\"]\nplain_http = true",
       "crisp.toml:2: registries.\"a b\": must be HOST or HOST:PORT, as in an image reference"},
      {"[registries.\"h\"]\nendpoint = \"https://user:pw@h\"",
       "crisp.toml:2: registries.\"h\".endpoint: must not contain credentials"},
      {"registries = 1", "crisp.toml:1: registries: unknown setting"},
  };
  for (const auto& row : cases) EXPECT_EQ(ErrorOf(row.text), row.error);
}

TEST_F(ConfigTest, SyntaxErrorsNameTheLine) {
  EXPECT_THAT(ErrorOf("root = \"/a\"\nstate = "), HasSubstr("crisp.toml:2: "));
  EXPECT_THAT(ErrorOf("[(x"), HasSubstr("crisp.toml:1: "));  // an assertion in toml++ 3.3
  EXPECT_THAT(ErrorOf("root = \"/a\"\nroot = \"/b\""), HasSubstr("crisp.toml:2: "));
}

TEST_F(ConfigTest, ValuesThatDependOnEachOtherAreChecked) {
  EXPECT_THAT(ErrorOf("root = \"\""), HasSubstr("root"));
  EXPECT_THAT(ErrorOf("root = \"/x\"\nstate = \"/x\""), HasSubstr("state"));
  EXPECT_THAT(ErrorOf("state = \"/" + std::string(100, 'a') + "\""), HasSubstr("107"));
  EXPECT_THAT(ErrorOf("[streaming]\ntls_certificate = \"/c\""), HasSubstr("tls_key"));
  EXPECT_THAT(ErrorOf("[streaming]\ntls_key = \"/k\""), HasSubstr("tls_certificate"));
  EXPECT_THAT(ErrorOf("[streaming]\ntls_client_ca = \"/a\""), HasSubstr("tls_client_ca"));
  EXPECT_THAT(ErrorOf("socket = \"/a\"\ndebug_socket = \"/a\""), HasSubstr("debug_socket"));
}

TEST_F(ConfigTest, DumpIsReadableAgainAndTellsOrigins) {
  Write("crisp.toml", "state = \"/s\"\n[registries.\"docker.io\"]\nskip_verify = true");
  auto config = LoadConfig(flags_);
  ASSERT_TRUE(config.ok());
  const std::string dump = DumpConfigText(*config);
  EXPECT_THAT(dump, HasSubstr("state = \"/s\"  # " + dir_ + "/crisp.toml:1\n"));
  EXPECT_THAT(dump, HasSubstr("root = \"/var/lib/crisp\"  # default\n"));
  Config again;
  ASSERT_TRUE(ApplyToml("dump", dump, &again).ok()) << ApplyToml("dump", dump, &again);
  EXPECT_EQ(again.state, "/s");
  EXPECT_TRUE(again.registries["docker.io"].skip_verify);
}

// With the comment signs off it must be valid, and it must say what the code does.
TEST_F(ConfigTest, DefaultTextIsTrueToTheDefaults) {
  std::string text = DefaultConfigText();
  std::string active;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    std::string line = text.substr(at, end - at);
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    active += line + "\n";
    at = end + 1;
  }
  Config config;
  const Status status = ApplyToml("default", active, &config);
  ASSERT_TRUE(status.ok()) << status << active;
  Config defaults;
  for (const Field& field : ConfigFields()) {
    EXPECT_EQ(config.origins.count(field.name), 1u) << field.name;
    std::visit(
        [&](auto* value) {
          EXPECT_EQ(*value, *std::get<decltype(value)>(field.place(defaults))) << field.name;
        },
        field.place(config));
  }
}

TEST(ConfigFiles, DeployedSampleIsWhatTheProgramPrints) {
  auto text = ReadFile(std::string(CRISP_SOURCE_DIR) + "/deploy/crisp.toml");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, DefaultConfigText()) << "run: crisp config default > deploy/crisp.toml";
}

StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "crispd");
  arguments.push_back(nullptr);
  return ParseCommandLine(static_cast<int>(arguments.size()) - 1,
                          const_cast<char* const*>(arguments.data()));
}

TEST(CommandLineTest, ReadsEveryFlag) {
  auto line = Parse(
      {"--config", "/c", "--root=/r", "--state", "/s", "--socket", "/k", "--log-level", "debug"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config, "/c");
  EXPECT_EQ(line->root, "/r");
  EXPECT_EQ(line->state, "/s");
  EXPECT_EQ(line->socket, "/k");
  EXPECT_EQ(line->log_level, "debug");
  EXPECT_TRUE(Parse({"--version"})->version);
  EXPECT_TRUE(Parse({"--help"})->help);
}

TEST(CommandLineTest, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(std::string(Parse({"--rot", "/x"}).status().message()), HasSubstr("--rot"));
  EXPECT_THAT(std::string(Parse({"--root"}).status().message()), HasSubstr("needs a value"));
  EXPECT_THAT(std::string(Parse({"serve"}).status().message()), HasSubstr("options only"));
}

TEST_F(ConfigTest, BadFlagNamesTheSetting) {
  flags_.state = "relative";
  EXPECT_THAT(std::string(LoadConfig(flags_).status().message()), HasSubstr("state: \"relative\""));
}

}  // namespace
}  // namespace crisp
