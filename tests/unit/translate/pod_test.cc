#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "tests/unit/translate/fixture.h"

namespace crisp::cri {
namespace {

using testing::ElementsAre;
using testing::Pair;

StatusOr<runtime::PodSpec> Translate(const v1::PodSandboxConfig& config) {
  return TranslatePod(config, std::string(64, 'b'), {});
}

TEST(TranslatePod, Exact) {
  v1::PodSandboxConfig config = GoodPod();
  config.mutable_dns_config()->add_servers("10.0.0.10");
  config.mutable_dns_config()->add_searches("svc.cluster.local");
  config.mutable_dns_config()->add_options("ndots:5");
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_forward"] = "1";
  const auto spec = Translate(config);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->id, std::string(64, 'b'));
  EXPECT_EQ(spec->hostname, "web-0");
  EXPECT_FALSE(spec->host_network);
  EXPECT_FALSE(spec->host_ipc);
  EXPECT_EQ(spec->shm_bytes, uint64_t{64} << 20);
  EXPECT_EQ(spec->resolv_conf, "search svc.cluster.local\nnameserver 10.0.0.10\noptions ndots:5\n");
  EXPECT_EQ(spec->hosts, "");
  EXPECT_THAT(spec->sysctls, ElementsAre(Pair("net.ipv4.ip_forward", "1")));
}

TEST(TranslatePod, HostNamespaces) {
  v1::PodSandboxConfig config = GoodPod();
  v1::NamespaceOption* options =
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(v1::NODE);
  options->set_ipc(v1::NODE);
  options->mutable_userns_options()->set_mode(v1::NODE);
  const auto spec = Translate(config);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->host_network);
  EXPECT_TRUE(spec->host_ipc);
  char node[256] = {};
  ASSERT_EQ(gethostname(node, sizeof(node) - 1), 0);
  EXPECT_EQ(spec->hostname, node);
}

TEST(TranslatePod, WithoutOptionsOrContextOrLinux) {
  v1::PodSandboxConfig config = GoodPod();
  config.mutable_linux()->mutable_security_context()->clear_namespace_options();
  EXPECT_TRUE(Translate(config).ok());
  config.clear_linux();
  EXPECT_TRUE(Translate(config).ok());
  config.clear_log_directory();
  EXPECT_TRUE(Translate(config).ok());
}

TEST(TranslatePod, LimitsAtTheEdge) {
  v1::PodSandboxConfig config = GoodPod();
  config.mutable_metadata()->set_name(std::string(253, 'n'));
  config.set_hostname(std::string(64, 'h'));
  EXPECT_TRUE(Translate(config).ok());
  (*config.mutable_labels())["k"] = std::string((256 << 10) - 1, 'v');
  EXPECT_TRUE(Translate(config).ok());
  (*config.mutable_labels())["k"] += 'v';
  EXPECT_TRUE(Refuses(Translate(config).status(), "labels"));
}

struct Case {
  const char* field;
  std::function<void(v1::PodSandboxConfig&)> change;
};

v1::NamespaceOption* Options(v1::PodSandboxConfig& c) {
  return c.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

void Sysctl(v1::PodSandboxConfig& c, const std::string& key, const std::string& value = "1") {
  (*c.mutable_linux()->mutable_sysctls())[key] = value;
}

const std::vector<Case>& Refusals() {
  static const auto* cases = new std::vector<Case>{
      {"metadata", [](auto& c) { c.clear_metadata(); }},
      {"metadata.name", [](auto& c) { c.mutable_metadata()->clear_name(); }},
      {"metadata.uid", [](auto& c) { c.mutable_metadata()->clear_uid(); }},
      {"metadata.namespace", [](auto& c) { c.mutable_metadata()->clear_namespace_(); }},
      {"metadata.name", [](auto& c) { c.mutable_metadata()->set_name(std::string(254, 'n')); }},
      {"metadata.name", [](auto& c) { c.mutable_metadata()->set_name("a/b"); }},
      {"metadata.uid", [](auto& c) { c.mutable_metadata()->set_uid(std::string("a\0b", 3)); }},
      {"hostname", [](auto& c) { c.set_hostname(std::string(65, 'h')); }},
      {"hostname", [](auto& c) { c.set_hostname("a\nb"); }},
      {"hostname", [](auto& c) { c.set_hostname(std::string("a\0", 2)); }},
      {"log_directory", [](auto& c) { c.set_log_directory("var/log"); }},
      {"log_directory", [](auto& c) { c.set_log_directory("/var/../etc"); }},
      {"log_directory", [](auto& c) { c.set_log_directory(std::string("/a\0", 3)); }},
      {"log_directory", [](auto& c) { c.set_log_directory("/" + std::string(256, 'a')); }},
      {"log_directory", [](auto& c) { c.set_log_directory(std::string(4096, '/')); }},
      {"dns_config", [](auto& c) { c.mutable_dns_config()->add_servers("1.1.1.1\nx"); }},
      {"dns_config", [](auto& c) { c.mutable_dns_config()->add_searches("a\nb"); }},
      {"dns_config", [](auto& c) { c.mutable_dns_config()->add_options("a\n"); }},
      {"network", [](auto& c) { Options(c)->set_network(v1::CONTAINER); }},
      {"network", [](auto& c) { Options(c)->set_network(v1::TARGET); }},
      {"network", [](auto& c) { Options(c)->set_network(static_cast<v1::NamespaceMode>(9)); }},
      {"ipc", [](auto& c) { Options(c)->set_ipc(v1::CONTAINER); }},
      {"pid", [](auto& c) { Options(c)->set_pid(v1::TARGET); }},
      {"userns_options", [](auto& c) { Options(c)->mutable_userns_options()->set_mode(v1::POD); }},
      {"cgroup_parent", [](auto& c) { c.mutable_linux()->set_cgroup_parent("/a/../b"); }},
      {"cgroup_parent",
       [](auto& c) { c.mutable_linux()->set_cgroup_parent("/" + std::string(256, 'a')); }},
      {"host_port", [](auto& c) { c.add_port_mappings()->set_host_port(65536); }},
      {"container_port", [](auto& c) { c.add_port_mappings()->set_container_port(-1); }},
      {"host_ip", [](auto& c) { c.add_port_mappings()->set_host_ip("localhost"); }},
      {"protocol",
       [](auto& c) { c.add_port_mappings()->set_protocol(static_cast<v1::Protocol>(9)); }},
      {"run_as_group",
       [](auto& c) {
         c.mutable_linux()->mutable_security_context()->mutable_run_as_group()->set_value(1);
       }},
      {"selinux_options",
       [](auto& c) {
         c.mutable_linux()->mutable_security_context()->mutable_selinux_options()->set_level(
             "s0\n");
       }},
      {"kernel.core_pattern", [](auto& c) { Sysctl(c, "kernel.core_pattern"); }},
      {"vm.swappiness", [](auto& c) { Sysctl(c, "vm.swappiness"); }},
      {"net.ipv4", [](auto& c) { Sysctl(c, "net.ipv4.../../kernel/core_pattern"); }},
      {"net/ipv4", [](auto& c) { Sysctl(c, "net/ipv4/../../kernel/core_pattern"); }},
      {"net.ipv4.ip_forward",
       [](auto& c) {
         Options(c)->set_network(v1::NODE);
         Sysctl(c, "net.ipv4.ip_forward");
       }},
      {"kernel.shmmax",
       [](auto& c) {
         Options(c)->set_ipc(v1::NODE);
         Sysctl(c, "kernel.shmmax");
       }},
      {"kernel.shm_rmid_forced",
       [](auto& c) { Sysctl(c, "kernel.shm_rmid_forced", std::string("1\n2")); }},
      {"sysctls",
       [](auto& c) {
         for (int i = 0; i < 257; ++i) Sysctl(c, absl::StrCat("net.x", i));
       }},
  };
  return *cases;
}

TEST(TranslatePod, EveryBadValueIsRefusedByName) {
  for (size_t i = 0; i < Refusals().size(); ++i) {
    v1::PodSandboxConfig config = GoodPod();
    Refusals()[i].change(config);
    const Status status = Translate(config).status();
    EXPECT_TRUE(Refuses(status, Refusals()[i].field))
        << "case " << i << " " << Refusals()[i].field << ": " << status;
    EXPECT_LT(status.message().size(), 600u);
  }
}

}  // namespace
}  // namespace crisp::cri
