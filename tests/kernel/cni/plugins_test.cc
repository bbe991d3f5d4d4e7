// The plugin executables, called by the CNI protocol as another runtime does.
#include <fcntl.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/kernel/cni/net_env.h"

namespace crisp::cni {
namespace {

constexpr char kPlugins[] = CRISP_CNI_PLUGINS;  // the folder of the executables

class PluginsTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    // Pods' namespaces by name, as `ip netns` keeps them.
    for (const char* pod : {"p1", "p2"})
      ASSERT_EQ(Shell(-1, std::string("ip netns add ") + pod), 0);
  }
  void TearDown() override {
    for (const char* pod : {"p1", "p2"}) Shell(-1, std::string("ip netns del ") + pod);
    NodeTest::TearDown();
  }

  // Returns the exit code; the answer in json_.
  int Call(const std::string& plugin, const std::string& command, const std::string& pod,
           const Json& config, const std::string& extra = "") {
    std::ofstream(root_ + "/stdin") << config.dump();
    std::string out;
    const int code = Shell(
        -1,
        absl::StrCat("CNI_COMMAND=", command, " CNI_CONTAINERID=id-", pod, " CNI_NETNS=/run/netns/",
                     pod, " CNI_IFNAME=eth0", " CNI_PATH=", kPlugins, ":/usr/lib/cni ", extra, " ",
                     plugin[0] == '/' ? "" : std::string(kPlugins) + "/", plugin, " < ", root_,
                     "/stdin"),
        &out);
    const StatusOr<Json> json = ParseJson(out);
    json_ = json.ok() ? *json : Json(out);
    return code;
  }

  Json Ipam(const std::string& subnet) {
    return {{"type", "host-local"}, {"dataDir", root_ + "/ipam"}, {"subnet", subnet}};
  }
  Json Bridge(const std::string& version = "1.0.0") {
    return {{"cniVersion", version},
            {"name", "net"},
            {"type", "bridge"},
            {"bridge", "br0"},
            {"isDefaultGateway", true},
            {"ipMasq", true},
            {"ipam", Ipam("10.60.0.0/24")}};
  }
  int In(const std::string& pod, const std::string& command) {
    return Shell(-1, absl::StrCat("ip netns exec ", pod, " ", command));
  }
  std::string File(const std::string& path) {
    return ReadFile(root_ + "/" + path).value_or("(none)");
  }

  Json json_;
};

TEST_F(PluginsTest, Version) {
  for (const char* plugin : {"bridge", "host-local", "loopback", "portmap", "ptp"}) {
    EXPECT_EQ(Call(plugin, "VERSION", "p1", Json::object()), 0);
    EXPECT_EQ(json_["supportedVersions"].size(), 7u) << json_;
  }
}

TEST_F(PluginsTest, BridgeConnectsTwoPodsAndCleansUp) {
  Json config = Bridge();
  ASSERT_EQ(Call("bridge", "ADD", "p1", config), 0) << json_;
  const Json first = json_;
  EXPECT_EQ(first["ips"][0]["address"], "10.60.0.2/24");
  EXPECT_EQ(first["ips"][0]["gateway"], "10.60.0.1");
  EXPECT_EQ(first["ips"][0]["interface"], 2);
  EXPECT_EQ(first["interfaces"][2]["name"], "eth0");
  EXPECT_EQ(first["interfaces"][2]["sandbox"], "/run/netns/p1");
  EXPECT_EQ(first["interfaces"][0]["name"], "br0");
  EXPECT_EQ(File("ipam/net/10.60.0.2"), "id-p1\r\neth0");
  EXPECT_EQ(File("ipam/net/last_reserved_ip.0"), "10.60.0.2");
  ASSERT_EQ(Call("bridge", "ADD", "p2", config), 0) << json_;
  EXPECT_EQ(In("p1", "busybox ping -c 1 -W 2 10.60.0.3"), 0);
  EXPECT_EQ(In("p1", "busybox ping -c 1 -W 2 10.60.0.1"), 0);
  std::string rules;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_NE(rules.find("masquerade"), std::string::npos);
  // Twice is an error that takes nothing from the first.
  EXPECT_EQ(Call("bridge", "ADD", "p1", config), 1);
  EXPECT_EQ(File("ipam/net/10.60.0.2"), "id-p1\r\neth0");

  config["prevResult"] = first;
  EXPECT_EQ(Call("bridge", "CHECK", "p1", config), 0) << json_;
  In("p1", "ip addr flush dev eth0");
  EXPECT_EQ(Call("bridge", "CHECK", "p1", config), 1);
  EXPECT_EQ(Call("bridge", "DEL", "p1", config), 0) << json_;
  EXPECT_EQ(Call("bridge", "DEL", "p1", config), 0) << "again: " << json_;
  EXPECT_EQ(File("ipam/net/10.60.0.2"), "(none)");
  EXPECT_EQ(Call("bridge", "DEL", "p2", config, "CNI_NETNS="), 0) << "without a namespace";
  EXPECT_EQ(File("ipam/net/10.60.0.3"), "(none)");
  EXPECT_EQ(Call("bridge", "DEL", "p2", config), 0);
  EXPECT_EQ(CountLinks(": veth"), 0);
}

TEST_F(PluginsTest, AFailedAddFreesTheAddress) {
  Json config = Bridge();
  ASSERT_EQ(In("p1", "ip link add eth0 type veth peer name x0"), 0);
  EXPECT_EQ(Call("bridge", "ADD", "p1", config), 1);
  EXPECT_EQ(File("ipam/net/10.60.0.2"), "(none)");
  EXPECT_EQ(CountLinks(": veth"), 0);
  EXPECT_EQ(Call("bridge", "ADD", "none", config), 1) << "no such namespace";
  EXPECT_EQ(File("ipam/net/10.60.0.2"), "(none)");
  config["ipam"]["subnet"] = "10.60.0.0/30";
  EXPECT_EQ(Call("bridge", "ADD", "p2", config), 0) << json_;
  ASSERT_EQ(In("p1", "ip link del eth0"), 0);
  EXPECT_EQ(Call("bridge", "ADD", "p1", config), 1);
  EXPECT_EQ(json_["code"], 11) << json_;
}

TEST_F(PluginsTest, ErrorsHaveTheSpecificationsCodes) {
  const auto code = [&](const char* key, Json value, const std::string& extra = "") {
    Json config = Bridge();
    config[key] = std::move(value);
    EXPECT_EQ(Call("bridge", "ADD", "p1", config, extra), 1);
    return json_.is_object() ? json_["code"].get<int>() : -1;
  };
  EXPECT_EQ(code("cniVersion", "2.0.0"), 1);
  EXPECT_EQ(code("vlan", 5), 2);
  EXPECT_EQ(code("mtu", 1500, "CNI_CONTAINERID=../x"), 4);
  EXPECT_EQ(code("mtu", 1500, "CNI_IFNAME="), 4);
  EXPECT_EQ(code("mtu", 1500, "CNI_NETNS="), 4);
  EXPECT_EQ(code("mtu", 1500, "CNI_COMMAND=WHAT"), 4);
  EXPECT_EQ(code("mtu", -1), 7);
  EXPECT_EQ(code("bridge", "a/b"), 7);
  EXPECT_EQ(code("isGateway", "yes"), 7);
  EXPECT_EQ(code("ipam", Ipam("10.60.0.0/33")), 7);
  EXPECT_EQ(code("name", ""), 7);
}

TEST_F(PluginsTest, OldVersionsGetOldResults) {
  ASSERT_EQ(Call("bridge", "ADD", "p1", Bridge("0.2.0")), 0) << json_;
  EXPECT_EQ(json_["ip4"]["ip"], "10.60.0.2/24");
  EXPECT_EQ(json_["cniVersion"], "0.2.0");
  ASSERT_EQ(Call("bridge", "ADD", "p2", Bridge("0.3.1")), 0) << json_;
  EXPECT_EQ(json_["ips"][0]["version"], "4");
}

TEST_F(PluginsTest, HostLocalAndDebiansShareTheFiles) {
  const Json config = {
      {"cniVersion", "1.0.0"}, {"name", "net"}, {"type", "x"}, {"ipam", Ipam("10.60.0.0/29")}};
  ASSERT_EQ(Call("host-local", "ADD", "p1", config), 0) << json_;
  ASSERT_EQ(Call("/usr/lib/cni/host-local", "ADD", "p2", config), 0) << json_;
  EXPECT_EQ(json_["ips"][0]["address"], "10.60.0.3/29") << "goes on after ours";
  ASSERT_EQ(Call("host-local", "ADD", "p3", config), 0) << json_;
  EXPECT_EQ(json_["ips"][0]["address"], "10.60.0.4/29") << "goes on after theirs";
  ASSERT_EQ(Call("/usr/lib/cni/host-local", "DEL", "p1", config), 0) << json_;
  ASSERT_EQ(Call("host-local", "DEL", "p2", config), 0) << json_;
  EXPECT_EQ(File("ipam/net/10.60.0.2"), "(none)");
  EXPECT_EQ(File("ipam/net/10.60.0.3"), "(none)");
  // A given address; GC.
  ASSERT_EQ(Call("host-local", "ADD", "p4", config, "CNI_ARGS='IgnoreUnknown=1;IP=10.60.0.6'"), 0);
  EXPECT_EQ(File("ipam/net/10.60.0.6"), "id-p4\r\neth0");
  Json gc = config;
  gc["cni.dev/valid-attachments"] = {{{"containerID", "id-p4"}, {"ifname", "eth0"}}};
  ASSERT_EQ(Call("host-local", "GC", "p1", gc), 0) << json_;
  EXPECT_EQ(File("ipam/net/10.60.0.4"), "(none)");
  EXPECT_EQ(File("ipam/net/10.60.0.6"), "id-p4\r\neth0");
  EXPECT_EQ(Call("host-local", "STATUS", "p1", config), 0);
}

TEST_F(PluginsTest, AddressesOfAnotherPlugin) {
  Json config = Bridge();
  config["ipam"] = {{"type", "static"},
                    {"addresses", {{{"address", "10.61.0.7/24"}, {"gateway", "10.61.0.1"}}}}};
  ASSERT_EQ(Call("bridge", "ADD", "p1", config), 0) << json_;
  EXPECT_EQ(json_["ips"][0]["address"], "10.61.0.7/24");
  EXPECT_EQ(In("p1", "busybox ping -c 1 -W 2 10.61.0.1"), 0);
}

TEST_F(PluginsTest, PtpRoutesBetweenPods) {
  Json ipam = Ipam("10.62.0.0/24");
  ipam["routes"] = {{{"dst", "0.0.0.0/0"}}};
  const Json config = {
      {"cniVersion", "0.3.1"}, {"name", "kindnet"}, {"type", "ptp"}, {"mtu", 1400}, {"ipam", ipam}};
  ASSERT_EQ(Call("ptp", "ADD", "p1", config), 0) << json_;
  ASSERT_EQ(Call("ptp", "ADD", "p2", config), 0) << json_;
  EXPECT_EQ(json_["ips"][0]["address"], "10.62.0.3/24");
  EXPECT_EQ(In("p1", "busybox ping -c 1 -W 2 10.62.0.3"), 0);
  EXPECT_EQ(In("p1", "busybox ping -c 1 -W 2 10.62.0.1"), 0);
  EXPECT_EQ(Shell(-1, "busybox ping -c 1 -W 2 10.62.0.2"), 0);
  EXPECT_EQ(In("p1", "ip link show eth0 | grep -q 'mtu 1400'"), 0);
  ASSERT_EQ(Call("ptp", "DEL", "p1", config), 0) << json_;
  ASSERT_EQ(Call("ptp", "DEL", "p2", config), 0) << json_;
  EXPECT_EQ(CountLinks(": veth"), 0);
  EXPECT_EQ(File("ipam/kindnet/10.62.0.2"), "(none)");
}

TEST_F(PluginsTest, LoopbackAndPortmapInAChain) {
  EXPECT_EQ(Call("loopback", "ADD", "p1",
                 {{"cniVersion", "1.0.0"}, {"name", "lo"}, {"type", "loopback"}}),
            0);
  EXPECT_EQ(In("p1", "busybox ping -c 1 -W 2 127.0.0.1"), 0);
  ASSERT_EQ(Call("bridge", "ADD", "p1", Bridge()), 0) << json_;
  Json config = {
      {"cniVersion", "1.0.0"},
      {"name", "net"},
      {"type", "portmap"},
      {"prevResult", json_},
      {"runtimeConfig",
       {{"portMappings", {{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}}}}}}};
  const Json previous = json_;
  ASSERT_EQ(Call("portmap", "ADD", "p1", config), 0) << json_;
  EXPECT_EQ(json_, previous);
  std::string rules;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_NE(rules.find("tcp . 8080 : 10.60.0.2 . 80"), std::string::npos) << rules;
  ASSERT_EQ(Call("portmap", "DEL", "p1", config), 0) << json_;
  ASSERT_EQ(Call("portmap", "DEL", "p1", config), 0) << "again: " << json_;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_EQ(rules.find("8080"), std::string::npos) << rules;
}

// The daemon with a foreign list and our own executables: as in a kind node.
TEST_F(PluginsTest, TheDaemonRunsKindnetsList) {
  NetworkOptions options = Options();
  options.bin_dirs = {kPlugins};
  WriteConf("10-kindnet.conflist", R"({"cniVersion":"0.3.1","name":"kindnet","plugins":[
    {"type":"ptp","ipMasq":false,"mtu":1500,"ipam":{"type":"host-local","dataDir":")" +
                                       root_ + R"(/ipam",
     "routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.244.0.0/24"}]]}},
    {"type":"portmap","capabilities":{"portMappings":true}}]})");
  auto network = OpenNetwork(options);
  PodIdentity pod = Pod("a");
  pod.ports = {{"tcp", 80, 8080, ""}};
  StatusOr<Lease> a = network->Add(pod), b = network->Add(Pod("b"));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(a->ips, std::vector<std::string>{"10.244.0.2"});
  EXPECT_EQ(Shell(a->netns.get(), "busybox ping -c 1 -W 2 10.244.0.3 >/dev/null"), 0);
  ASSERT_TRUE(network->Release(pod.sandbox_id, a->record).ok());
  ASSERT_TRUE(network->Release(Pod("b").sandbox_id, b->record).ok());
  ASSERT_TRUE(network->Quiesce(10000));
  std::string rules;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_EQ(rules.find("8080"), std::string::npos) << rules;
  EXPECT_EQ(CountLinks(": veth"), 0);
}

}  // namespace
}  // namespace crisp::cni
