// External CNI plugins: Debian's, and scripts that misbehave in every way of the catalogue
// (security-faults 2.3).
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "runtime/base/stages.h"
#include "tests/kernel/cni/net_env.h"

namespace crisp::cni {
namespace {

class ExternalTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    options_ = Options();
    options_.plugin_timeout_ms = 3000;
    options_.plugin_retry_ms = 10;
  }

  // A shell script as plugin `type`. $DIR is the test's folder.
  void WritePlugin(const std::string& type, const std::string& script, mode_t mode = 0755) {
    const std::string path = root_ + "/bin/" + type;
    std::ofstream(path) << "#!/bin/sh\nDIR=" << root_ << "\n" << script << "\n";
    chmod(path.c_str(), mode);
  }

  void UseFake(const std::string& add, const std::string& del = "exit 0") {
    WritePlugin("fake", "echo $CNI_COMMAND >> $DIR/calls\ncase $CNI_COMMAND in\nADD) " + add +
                            ";;\nDEL) " + del + ";;\nesac");
    WriteConf("10-fake.conflist",
              R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"fake"}]})");
  }

  std::string Calls() {
    std::string out;
    Shell(-1, "cat " + root_ + "/calls 2>/dev/null | tr '\\n' ' '", &out);
    return out;
  }

  // No pin, no file of an attachment.
  std::string Leftovers() {
    std::string out;
    Shell(-1,
          "ls " + root_ + "/state/network/netns " + root_ +
              "/state/network/results | grep -v ':$' | tr -d '\\n';"
              "grep -c " +
              root_ + " /proc/self/mountinfo | grep -v '^0$'",
          &out);
    return out;
  }

  NetworkOptions options_;
};

constexpr char kGood[] = R"(echo '{"cniVersion":"1.0.0","ips":[{"address":"10.5.0.9/24"}]}')";

TEST_F(ExternalTest, DebiansBridgeHostLocalAndTuning) {
  options_.bin_dirs = {"/usr/lib/cni"};
  WriteConf("10-net.conflist", R"({"cniVersion":"1.0.0","name":"debnet","plugins":[
    {"type":"bridge","bridge":"deb0","isDefaultGateway":true,"dns":{},
     "ipam":{"type":"host-local","dataDir":")" +
                                   root_ + R"(/ipam","ranges":[[{"subnet":"10.97.0.0/24"}]]}},
    {"type":"tuning","sysctl":{"net.ipv4.conf.eth0.log_martians":"1"}}]})");
  auto network = OpenNetwork(options_);
  EXPECT_TRUE(network->CurrentStatus().ready) << network->CurrentStatus().message;
  StatusOr<Lease> a = network->Add(Pod("a")), b = network->Add(Pod("b"));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(a->ips, std::vector<std::string>{"10.97.0.2"});
  EXPECT_EQ(Shell(a->netns.get(), "busybox ping -c 1 -W 2 10.97.0.3 >/dev/null"), 0);
  EXPECT_EQ(Shell(a->netns.get(), "busybox ping -c 1 -W 2 127.0.0.1 >/dev/null"), 0);
  std::string out;
  Shell(-1, "cat " + root_ + "/ipam/debnet/10.97.0.2", &out);
  EXPECT_NE(out.find(Pod("a").sandbox_id), std::string::npos) << out;

  // The daemon dies; the configuration is removed; b is forgotten by the journal.
  network.reset();
  Shell(-1, "rm " + root_ + "/conf/*");
  network = OpenNetwork(options_);
  ASSERT_TRUE(network->Adopt(Pod("a").sandbox_id, a->record).ok());
  ASSERT_TRUE(network->Sweep().ok());
  EXPECT_TRUE(network->Quiesce(10000));
  Shell(-1, "ls " + root_ + "/ipam/debnet", &out);
  EXPECT_EQ(out.find("10.97.0.3\n"), std::string::npos) << "b's address must be free: " << out;
  EXPECT_NE(out.find("10.97.0.2\n"), std::string::npos) << out;
  EXPECT_EQ(Shell(a->netns.get(), "busybox ping -c 1 -W 2 10.97.0.1 >/dev/null"), 0);
  ASSERT_TRUE(network->Release(Pod("a").sandbox_id, a->record).ok());
  EXPECT_TRUE(network->Quiesce(10000));
  Shell(-1, "ls " + root_ + "/ipam/debnet", &out);
  EXPECT_EQ(out.find("10.97.0.2\n"), std::string::npos) << out;
  EXPECT_EQ(Leftovers(), "");
}

TEST_F(ExternalTest, PluginsGetWhatTheSpecificationSays) {
  options_.bin_dirs = {root_ + "/bin", "/nowhere"};
  WritePlugin("one", R"({ env | grep ^CNI_ | sort; cat; echo; } >> $DIR/log.$CNI_COMMAND; )" +
                         std::string(kGood));
  WritePlugin("two", R"(IN=$(cat); { echo "$IN"; echo; } >> $DIR/log2.$CNI_COMMAND
echo '{"cniVersion":"1.0.0","interfaces":[{"name":"veth0"},{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.5.0.1/24","interface":0},{"address":"10.5.0.9/24","interface":1},{"address":"fd00::9/64","interface":1}]}')");
  WriteConf("1.conflist", R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"one","x":1},
     {"type":"two","capabilities":{"portMappings":true,"dns":true}}]})");
  auto network = OpenNetwork(options_);
  PodIdentity pod = Pod("a");
  pod.ports = {{"tcp", 80, 8080, "192.0.2.1"}, {"tcp", 81, 0, ""}};
  StatusOr<Lease> lease = network->Add(pod);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->ips, (std::vector<std::string>{"10.5.0.9", "fd00::9"}));
  std::string add, add2, del, del2;
  Shell(-1, "cat " + root_ + "/log.ADD", &add);
  Shell(-1, "cat " + root_ + "/log2.ADD", &add2);
  EXPECT_NE(add.find("CNI_CONTAINERID=" + pod.sandbox_id + "\n"), std::string::npos) << add;
  EXPECT_NE(add.find("CNI_IFNAME=eth0\n"), std::string::npos) << add;
  EXPECT_NE(add.find("CNI_NETNS=" + root_ + "/state/network/netns/cni-" + pod.sandbox_id + "\n"),
            std::string::npos)
      << add;
  EXPECT_NE(add.find("CNI_PATH=" + root_ + "/bin:/nowhere\n"), std::string::npos) << add;
  EXPECT_NE(add.find("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a;"
                     "K8S_POD_INFRA_CONTAINER_ID=" +
                     pod.sandbox_id + ";K8S_POD_UID=uid-a\n"),
            std::string::npos)
      << add;
  EXPECT_NE(add.find(R"({"cniVersion":"1.0.0","name":"net","type":"one","x":1})"),
            std::string::npos)
      << add;
  EXPECT_NE(add2.find(R"("prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.5.0.9/24"}]})"),
            std::string::npos)
      << add2;
  EXPECT_NE(
      add2.find(
          R"("runtimeConfig":{"portMappings":[{"containerPort":80,"hostIP":"192.0.2.1","hostPort":8080,"protocol":"tcp"}]})"),
      std::string::npos)
      << add2;
  ASSERT_TRUE(network->Release(pod.sandbox_id, lease->record).ok());
  ASSERT_TRUE(network->Quiesce(5000));
  Shell(-1, "cat " + root_ + "/log.DEL", &del);
  Shell(-1, "cat " + root_ + "/log2.DEL", &del2);
  EXPECT_NE(del.find("10.5.0.1/24"), std::string::npos) << "DEL gets the final result: " << del;
  EXPECT_NE(del2.find("runtimeConfig"), std::string::npos) << del2;
  EXPECT_EQ(Leftovers(), "");
}

struct BadAdd {
  const char* name;
  const char* script;
  const char* words;  // in the error
};

void PrintTo(const BadAdd& bad, std::ostream* out) { *out << bad.name; }

class BadAddTest : public ExternalTest, public testing::WithParamInterface<BadAdd> {};

TEST_P(BadAddTest, IsRolledBack) {
  UseFake(GetParam().script);
  options_.plugin_timeout_ms = 1000;
  auto network = OpenNetwork(options_);
  const int fds = CountOpenFds();
  const int64_t start = MonotonicNanos();
  const StatusOr<Lease> lease = network->Add(Pod("a"));
  EXPECT_FALSE(lease.ok());
  EXPECT_NE(lease.status().message().find(GetParam().words), absl::string_view::npos)
      << lease.status();
  EXPECT_LT(lease.status().message().size(), 3000u);
  EXPECT_LT(MonotonicNanos() - start, 30'000'000'000) << "hangs";
  EXPECT_TRUE(network->Quiesce(10000)) << "DEL must follow a failed ADD";
  EXPECT_NE(Calls().find("DEL"), std::string::npos);
  EXPECT_EQ(Leftovers(), "");
  EXPECT_EQ(CountOpenFds(), fds);
}

INSTANTIATE_TEST_SUITE_P(
    Catalogue, BadAddTest,
    testing::Values(
        BadAdd{"hang", "exec sleep 1000", "did not end within 1000 ms"},
        BadAdd{"hang_with_child", "sleep 1000 & sleep 1000", "did not end within"},
        BadAdd{"no_output", "exit 0", "JSON"}, BadAdd{"garbage", "echo hello", "JSON"},
        BadAdd{"null", "echo null", "not a JSON object"},
        BadAdd{"endless", "exec cat /dev/zero", "more than 1048576 bytes"},
        BadAdd{"endless_stderr", "head -c 50000000 /dev/zero >&2; exit 3", "exit code 3"},
        BadAdd{
            "error_json",
            R"(echo '{"cniVersion":"1.0.0","code":11,"msg":"try later","details":"no lease"}'; exit 1)",
            "code 11: try later: no lease"},
        BadAdd{"stderr", "echo it broke >&2; exit 1", "it broke"},
        BadAdd{"segv", "kill -SEGV $$", "killed by signal 11"},
        BadAdd{"no_ip", R"(echo '{"cniVersion":"1.0.0","ips":[]}')", "no address"},
        BadAdd{"bad_ip", R"(echo '{"ips":[{"address":"10.0.0.256/8"}]}')", "not an IP address"},
        BadAdd{"ips_no_list", R"(echo '{"ips":{"a":1}}')", "not a list"},
        BadAdd{
            "only_node_ip",
            R"(echo '{"ips":[{"address":"10.0.0.1/8","interface":0}],"interfaces":[{"name":"x"}]}')",
            "no address"}),
    [](const auto& test_info) { return test_info.param.name; });

TEST_F(ExternalTest, ADaemonThatKeepsOurPipesDoesNotHoldUsUp) {
  UseFake("sleep 20 & " + std::string(kGood));
  auto network = OpenNetwork(options_);
  const StatusOr<Lease> lease = network->Add(Pod("a"));
  EXPECT_TRUE(lease.ok()) << lease.status();
}

TEST_F(ExternalTest, TheSameAddressTwiceAndIpv6Only) {
  UseFake(R"(echo '{"ips":[{"address":"fd00::5/64"},{"address":"fd00::5/64"}]}')");
  auto network = OpenNetwork(options_);
  const StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->ips, std::vector<std::string>{"fd00::5"});
}

TEST_F(ExternalTest, OldResultsAreRead) {
  UseFake(R"(echo '{"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.3/24"},"ip6":{"ip":"fd00::1/64"}}')");
  auto network = OpenNetwork(options_);
  const StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->ips, (std::vector<std::string>{"10.1.2.3", "fd00::1"}));
}

TEST_F(ExternalTest, DelIsRepeatedUntilItSucceedsAlsoAfterARestart) {
  UseFake(kGood, "echo x >> $DIR/dels; test -e $DIR/allow || exit 1");
  auto network = OpenNetwork(options_);
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  const int64_t start = MonotonicNanos();
  ASSERT_TRUE(network->Release(Pod("a").sandbox_id, lease->record).ok());
  EXPECT_LT(MonotonicNanos() - start, 100'000'000) << "Release must not wait for the plugin";
  std::string dels;
  EXPECT_TRUE(Eventually([&] {
    Shell(-1, "cat " + root_ + "/dels 2>/dev/null", &dels);
    return dels.size() >= 2 * 4;
  })) << dels;
  EXPECT_FALSE(network->Quiesce(1));
  network.reset();

  network = OpenNetwork(options_);
  ASSERT_TRUE(network->Sweep().ok());
  EXPECT_FALSE(network->Quiesce(50));
  std::ofstream(root_ + "/allow") << "";
  EXPECT_TRUE(network->Quiesce(10000));
  EXPECT_EQ(Leftovers(), "");
}

TEST_F(ExternalTest, TheEndOfTheDaemonDoesNotWaitForAPlugin) {
  options_.plugin_timeout_ms = 60'000;
  UseFake(kGood, "touch $DIR/hangs; exec sleep 1000");
  auto network = OpenNetwork(options_);
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(network->Release(Pod("a").sandbox_id, lease->record).ok());
  ASSERT_TRUE(Eventually([&] { return access((root_ + "/hangs").c_str(), F_OK) == 0; }));
  const int64_t start = MonotonicNanos();
  network.reset();
  EXPECT_LT(MonotonicNanos() - start, 20'000'000'000);
}

TEST_F(ExternalTest, AMissingPluginMakesTheNodeNotReadyUntilItComes) {
  WriteConf("10-x.conflist", R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"late"}]})");
  auto network = OpenNetwork(options_);
  NetworkStatus status = network->CurrentStatus();
  EXPECT_FALSE(status.ready) << "a broken conflist is not replaced by the built-in one";
  EXPECT_NE(status.message.find("cni plugin not initialized"), std::string::npos);
  EXPECT_NE(status.message.find("plugin late is not in"), std::string::npos) << status.message;
  WritePlugin("late", kGood);
  EXPECT_TRUE(network->CurrentStatus().ready) << network->CurrentStatus().message;
}

TEST_F(ExternalTest, OnlyExecutableFilesBelowThePluginFolderAreRun) {
  auto network = OpenNetwork(options_);
  Shell(-1, "ln -s /bin/true " + root_ + "/bin/link; mkdir " + root_ + "/bin/dir");
  WritePlugin("writable", kGood, 0757);
  WritePlugin("plain", kGood, 0644);
  for (const char* type : {"link", "dir", "writable", "plain", "../bin/x", "/bin/true", "", ".."}) {
    WriteConf(
        "10-x.conflist",
        absl::StrCat(R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":")", type, R"("}]})"));
    EXPECT_FALSE(network->CurrentStatus().ready) << type;
    EXPECT_FALSE(network->Add(Pod("a")).ok()) << type;
  }
}

TEST_F(ExternalTest, StatusAndGcOfVersion11) {
  WritePlugin("fake", R"(IN=$(cat); echo "$CNI_COMMAND $IN" >> $DIR/calls
case $CNI_COMMAND in ADD) )" +
                          std::string(kGood) + R"(;;
STATUS) test -e $DIR/down && { echo '{"cniVersion":"1.1.0","code":50,"msg":"not yet"}'; exit 1; };; esac; exit 0)");
  WriteConf("1.conflist", R"({"cniVersion":"1.1.0","name":"net","plugins":[{"type":"fake"}]})");
  std::ofstream(root_ + "/down") << "";
  auto network = OpenNetwork(options_);
  NetworkStatus status = network->CurrentStatus();
  EXPECT_FALSE(status.ready);
  EXPECT_NE(status.message.find("code 50: not yet"), std::string::npos) << status.message;
  ASSERT_TRUE(network->Adopt(Pod("a").sandbox_id, R"({"v":1,"mode":"plugins","net":"net"})").ok());
  ASSERT_TRUE(network->Sweep().ok());
  ASSERT_TRUE(network->Quiesce(5000));
  EXPECT_NE(Calls().find(R"("cni.dev/valid-attachments":[{"containerID":")" + Pod("a").sandbox_id +
                         R"(","ifname":"eth0"}])"),
            std::string::npos)
      << Calls();
  WriteConf("1.conflist",
            R"({"cniVersion":"1.1.0","name":"net","disableGC":true,"plugins":[{"type":"fake"}]})");
  Shell(-1, "rm " + root_ + "/calls " + root_ + "/down");
  EXPECT_TRUE(network->CurrentStatus().ready) << "a changed list is asked at once";
  ASSERT_TRUE(network->Sweep().ok());
  ASSERT_TRUE(network->Quiesce(5000));
  EXPECT_EQ(Calls().find("GC "), std::string::npos) << Calls();
}

TEST_F(ExternalTest, NamesCannotForgeArguments) {
  UseFake(kGood);
  auto network = OpenNetwork(options_);
  PodIdentity pod = Pod("a");
  pod.name = "x;K8S_POD_NAMESPACE=kube-system";
  EXPECT_EQ(network->Add(pod).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Calls(), "");
}

}  // namespace
}  // namespace crisp::cni
