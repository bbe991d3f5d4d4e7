// Configuration lists: what is accepted, and the catalogue of bad ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "cni/bridge_conf.h"
#include "cni/conf_list.h"
#include "runtime/base/files.h"

namespace crisp::cni {
namespace {

std::string List(const std::string& plugins, const std::string& version = "1.0.0") {
  return R"({"cniVersion":")" + version + R"(","name":"net","plugins":[)" + plugins + "]}";
}

TEST(ConfList, ReadsAList) {
  const StatusOr<ConfList> list = ParseConfList(
      R"({"cniVersion":"0.4.0","cniVersions":["0.4.0","1.1.0","9.0.0"],"name":"a.b_c-1",
          "disableCheck":"true","disableGC":true,"plugins":[{"type":"bridge","capabilities":
          {"portMappings":true,"dns":false}},{"type":"x.y-z_1"}]})",
      false);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->version, "1.1.0");
  EXPECT_TRUE(list->disable_check && list->disable_gc);
  ASSERT_EQ(list->plugins.size(), 2u);
  EXPECT_EQ(list->plugins[0].capabilities, std::set<std::string>{"portMappings"});
}

TEST(ConfList, ASinglePluginBecomesAList) {
  const StatusOr<ConfList> list =
      ParseConfList(R"({"cniVersion":"0.3.1","name":"n","type":"macvlan","master":"eth0"})", true);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->json["plugins"][0]["master"], "eth0");
  EXPECT_TRUE(ParseConfList(list->json.dump(), false).ok()) << "DEL reads it back";
}

TEST(ConfList, RefusesBadOnes) {
  const std::string deep(40, '[');
  const std::string bad[] = {
      "",
      "{",
      "null",
      "[]",
      "7",
      "\xff\xfe",
      "{}",
      R"({"name":"n"})",
      R"({"name":"n","plugins":[]})",
      R"({"name":"n","plugins":{}})",
      R"({"name":"n","plugins":[7]})",
      R"({"name":"n","plugins":[{}]})",
      R"({"name":"","plugins":[{"type":"x"}]})",
      R"({"name":"../n","plugins":[{"type":"x"}]})",
      R"({"name":".n","plugins":[{"type":"x"}]})",
      R"({"name":7,"plugins":[{"type":"x"}]})",
      R"({"name":"n","name":"m","plugins":[{"type":"x"}]})",
      R"({"name":"n","cniVersion":"1.2.0","plugins":[{"type":"x"}]})",
      R"({"name":"n","cniVersion":"","plugins":[{"type":"x"}]})",
      R"({"name":"n","cniVersion":1,"plugins":[{"type":"x"}]})",
      R"({"name":"n","cniVersions":"1.0.0","plugins":[{"type":"x"}]})",
      R"({"name":"n","disableCheck":"maybe","plugins":[{"type":"x"}]})",
      List(R"({"type":"../../bin/sh"})"),
      List(R"({"type":"/bin/sh"})"),
      List(R"({"type":".."})"),
      List(R"({"type":"."})"),
      List(R"({"type":""})"),
      List(R"({"type":"a\u0000b"})"),
      List(R"({"type":"a b"})"),
      List(R"({"type":7})"),
      List(R"({"type":"x","capabilities":[]})"),
      List(R"({"type":"x","a":)" + deep + std::string(40, ']') + "}"),
      List("{\"type\":\"x\"}" + std::string(1 << 20, ' ')),
      R"({"name":"n","type":"x"})",
  };
  for (const std::string& text : bad) {
    const StatusOr<ConfList> list = ParseConfList(text, false);
    EXPECT_FALSE(list.ok()) << text.substr(0, 200);
  }
  EXPECT_FALSE(ParseConfList(List(R"({"type":"x"})"), true).ok()) << "a list in a .conf";
  std::string many;
  for (int i = 0; i < 33; ++i) many += std::string(i ? "," : "") + R"({"type":"x"})";
  EXPECT_FALSE(ParseConfList(List(many), false).ok());
}

std::string BridgePlugin(const std::string& options, const std::string& ipam) {
  return R"({"type":"bridge")" + (options.empty() ? "" : "," + options) +
         R"(,"ipam":{"type":"host-local",)" + ipam + "}}";
}

StatusOr<std::optional<BridgeNetwork>> InProcess(const std::string& plugins) {
  const StatusOr<ConfList> list = ParseConfList(List(plugins), false);
  EXPECT_TRUE(list.ok()) << list.status() << plugins;
  if (!list.ok()) return list.status();
  return ParseInProcess(*list);
}

TEST(InProcess, TakesBridgeWithHostLocalAndPortmap) {
  const auto network =
      InProcess(BridgePlugin(R"("bridge":"b0","isDefaultGateway":true,"ipMasq":true,"mtu":1400)",
                             R"("ranges":[[{"subnet":"10.1.0.0/16","rangeStart":"10.1.2.0",
                      "rangeEnd":"10.1.2.9","gateway":"10.1.0.254"}],[{"subnet":"fd00::/64"}]],
                      "routes":[{"dst":"0.0.0.0/0"},{"dst":"192.0.2.0/24","gw":"10.1.0.7"}])") +
                R"(,{"type":"portmap","snat":true,"capabilities":{"portMappings":true}})");
  ASSERT_TRUE(network.ok() && *network) << network.status();
  const BridgeNetwork& bridge = **network;
  EXPECT_EQ(bridge.bridge, "b0");
  EXPECT_TRUE(bridge.is_gateway && bridge.masquerade && bridge.publish_ports);
  EXPECT_EQ(bridge.mtu, 1400u);
  ASSERT_EQ(bridge.ranges.size(), 2u);
  EXPECT_EQ(bridge.ranges[0][0].first.ToString(), "10.1.2.0");
  EXPECT_EQ(bridge.ranges[0][0].gateway.ToString(), "10.1.0.254");
  EXPECT_EQ(bridge.ranges[1][0].last.ToString(), "fd00::ffff:ffff:ffff:ffff");
  EXPECT_EQ(bridge.routes.size(), 2u);
}

TEST(InProcess, LeavesTheRestToPlugins) {
  const std::string subnet = R"("subnet":"10.1.0.0/16")";
  for (const std::string& plugins : {
           std::string(R"({"type":"calico"})"),
           BridgePlugin(R"("vlan":5)", subnet),
           BridgePlugin("", subnet + R"(,"resolvConf":"/etc/resolv.conf")"),
           std::string(R"({"type":"bridge","ipam":{"type":"dhcp"}})"),
           std::string(R"({"type":"bridge"})"),
           BridgePlugin("", subnet) + R"(,{"type":"firewall"})",
           BridgePlugin("", subnet) + R"(,{"type":"portmap","snat":false})",
           std::string(R"({"type":"portmap"},)") + BridgePlugin("", subnet),
       }) {
    const auto network = InProcess(plugins);
    ASSERT_TRUE(network.ok()) << network.status() << plugins;
    EXPECT_FALSE(network->has_value()) << plugins;
  }
}

TEST(InProcess, RefusesWrongValues) {
  const std::string subnet = R"("subnet":"10.1.0.0/16")";
  for (const std::string& plugin : {
           BridgePlugin(R"("bridge":"a/b")", subnet),
           BridgePlugin(R"("bridge":"0123456789abcdef")", subnet),
           BridgePlugin(R"("bridge":"..")", subnet),
           BridgePlugin(R"("bridge":7)", subnet),
           BridgePlugin(R"("ipMasq":"yes")", subnet),
           BridgePlugin(R"("mtu":-1)", subnet),
           BridgePlugin(R"("mtu":67)", subnet),
           BridgePlugin(R"("mtu":65536)", subnet),
           BridgePlugin(R"("mtu":1.5)", subnet),
           BridgePlugin(R"("hairpinMode":true,"promiscMode":true)", subnet),
           BridgePlugin("", R"("subnet":"10.1.0.1/16")"),
           BridgePlugin("", R"("subnet":"10.1.0.0/31")"),
           BridgePlugin("", R"("subnet":"10.1.0.0/32")"),
           BridgePlugin("", R"("subnet":"10.1.0.0/33")"),
           BridgePlugin("", R"("subnet":"10.1.0.0/-1")"),
           BridgePlugin("", R"("subnet":"10.1.0.0")"),
           BridgePlugin("", R"("subnet":"10.1.0/24")"),
           BridgePlugin("", R"("subnet":"")"),
           BridgePlugin("", R"("subnet":7)"),
           BridgePlugin("", R"("ranges":[])"),
           BridgePlugin("", R"("ranges":[[]])"),
           BridgePlugin("", R"("ranges":{"subnet":"10.1.0.0/16"})"),
           BridgePlugin("", R"("ranges":[[{"subnet":"10.1.0.0/16"},{"subnet":"fd00::/64"}]])"),
           BridgePlugin("", R"("ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"10.1.3.0/24"}]])"),
           BridgePlugin("", subnet + R"(,"rangeStart":"10.2.0.1")"),
           BridgePlugin("", subnet + R"(,"rangeEnd":"10.0.0.1")"),
           BridgePlugin("", subnet + R"(,"rangeStart":"10.1.0.9","rangeEnd":"10.1.0.8")"),
           BridgePlugin("", subnet + R"(,"gateway":"10.2.0.1")"),
           BridgePlugin("", subnet + R"(,"gateway":"gw")"),
           BridgePlugin("", subnet + R"(,"routes":[{"dst":"x"}])"),
           BridgePlugin("", subnet + R"(,"routes":[{"dst":"0.0.0.0/0","gw":"fd00::1"}])"),
           BridgePlugin("", subnet + R"(,"routes":[7])"),
           BridgePlugin("", subnet + R"(,"dataDir":"relative")"),
       }) {
    const auto network = InProcess(plugin);
    EXPECT_EQ(network.status().code(), absl::StatusCode::kInvalidArgument)
        << plugin << network.status();
  }
}

TEST(BuiltinConf, IsOneThatWeExecute) {
  const StatusOr<ConfList> list = BuiltinConfList("cni0", "10.85.0.0/16");
  ASSERT_TRUE(list.ok()) << list.status();
  const auto network = ParseInProcess(*list);
  ASSERT_TRUE(network.ok() && *network) << network.status();
  EXPECT_EQ((*network)->ranges[0][0].gateway.ToString(), "10.85.0.1");
  EXPECT_TRUE((*network)->masquerade && (*network)->default_gateway && (*network)->publish_ports);
}

class ConfSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-conf-XXXXXX";
    root_ = mkdtemp(name);
    dir_ = root_ + "/net.d";
  }
  void TearDown() override { RemoveTreeAt(AT_FDCWD, root_).IgnoreError(); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name + ".tmp") << text;
    rename((dir_ + "/" + name + ".tmp").c_str(), (dir_ + "/" + name).c_str());
  }
  std::string NameOf(const ConfSource::Loaded& loaded) {
    return loaded.list ? loaded.list->name : "";
  }
  std::string Named(const std::string& name) {
    return R"({"cniVersion":"1.0.0","name":")" + name + R"(","plugins":[{"type":"x"}]})";
  }
  std::string root_, dir_;
};

TEST_F(ConfSourceTest, FollowsTheFolder) {
  ConfSource source({dir_}, [](const ConfList&) { return absl::OkStatus(); });
  EXPECT_EQ(NameOf(source.Current()), "") << "no folder yet";
  mkdir(dir_.c_str(), 0755);
  EXPECT_EQ(NameOf(source.Current()), "");
  EXPECT_EQ(source.Current().problem, "");
  Write("20-b.conflist", Named("b"));
  const ConfSource::Loaded b = source.Current();
  EXPECT_EQ(NameOf(b), "b");
  EXPECT_EQ(source.Current().list, b.list) << "nothing changed: the same object";
  EXPECT_EQ(source.Current().generation, b.generation);
  Write("10-a.conflist", Named("a"));
  EXPECT_EQ(NameOf(source.Current()), "a") << "lexical order";
  EXPECT_NE(source.Current().generation, b.generation);
  Write("10-a.conflist", "{");
  EXPECT_EQ(NameOf(source.Current()), "b") << "a bad file is passed over";
  Write("05-note.txt", "not ours");
  Write("00.conflist.bak", Named("bak"));
  EXPECT_EQ(NameOf(source.Current()), "b");
  unlink((dir_ + "/20-b.conflist").c_str());
  const ConfSource::Loaded bad = source.Current();
  EXPECT_EQ(NameOf(bad), "");
  EXPECT_NE(bad.problem.find("10-a.conflist"), std::string::npos) << bad.problem;
  // The folder goes and comes again (containerd#11209).
  RemoveTreeAt(AT_FDCWD, dir_).IgnoreError();
  EXPECT_EQ(NameOf(source.Current()), "");
  mkdir(dir_.c_str(), 0755);
  Write("1.conflist", Named("again"));
  EXPECT_EQ(NameOf(source.Current()), "again");
}

TEST_F(ConfSourceTest, ARefusedListIsLookedAtAgain) {
  bool usable = false;
  ConfSource source({dir_}, [&](const ConfList&) {
    return usable ? absl::OkStatus() : absl::NotFoundError("its plugin is not there");
  });
  mkdir(dir_.c_str(), 0755);
  Write("1.conflist", Named("a"));
  const ConfSource::Loaded refused = source.Current();
  EXPECT_EQ(NameOf(refused), "");
  usable = true;
  EXPECT_EQ(NameOf(source.Current()), "a");
  EXPECT_NE(source.Current().generation, refused.generation);
}

TEST_F(ConfSourceTest, HugeAndEmptyFilesAndFoldersInPlaceOfFiles) {
  ConfSource source({dir_}, [](const ConfList&) { return absl::OkStatus(); });
  mkdir(dir_.c_str(), 0755);
  Write("1.conflist", "");
  Write("2.conflist", std::string((1 << 20) + 1, ' '));
  mkdir((dir_ + "/3.conflist").c_str(), 0755);
  symlink("/nowhere", (dir_ + "/4.conflist").c_str());
  Write("5.conflist", Named("good"));
  EXPECT_EQ(NameOf(source.Current()), "good");
}

}  // namespace
}  // namespace crisp::cni
