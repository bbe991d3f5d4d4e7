// The built-in network against the real kernel.
#include <sys/resource.h>
#include <sys/wait.h>

#include <set>
#include <thread>

#include "runtime/base/stages.h"
#include "tests/kernel/cni/net_env.h"

namespace crisp::cni {
namespace {

class BuiltinTest : public NodeTest {};

std::string Ping(const std::string& ip) { return "busybox ping -c 1 -W 2 " + ip + " >/dev/null"; }

TEST_F(BuiltinTest, PodsReachEachOtherTheGatewayAndTheNode) {
  auto network = OpenNetwork(Options());
  StatusOr<Lease> a = network->Add(Pod("a")), b = network->Add(Pod("b"));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(a->ips, std::vector<std::string>{"10.85.0.2"});
  EXPECT_EQ(b->ips, std::vector<std::string>{"10.85.0.3"});
  EXPECT_EQ(Shell(a->netns.get(), Ping("10.85.0.3")), 0);
  EXPECT_EQ(Shell(b->netns.get(), Ping("10.85.0.2")), 0);
  EXPECT_EQ(Shell(a->netns.get(), Ping("10.85.0.1")), 0);
  EXPECT_EQ(Shell(a->netns.get(), Ping("127.0.0.1")), 0);
  EXPECT_EQ(Shell(-1, Ping("10.85.0.2")), 0);
  std::string out;
  Shell(a->netns.get(), "ip -o addr; ip route", &out);
  EXPECT_NE(out.find("eth0    inet 10.85.0.2/16 brd 10.85.255.255"), std::string::npos) << out;
  EXPECT_NE(out.find("default via 10.85.0.1 dev eth0"), std::string::npos) << out;
  EXPECT_EQ(out.find("inet6"), std::string::npos) << "IPv6 must be off: " << out;
  EXPECT_TRUE(network->CurrentStatus().ready);
}

TEST_F(BuiltinTest, AHostBeyondTheNodeSeesTheNodesAddress) {
  auto network = OpenNetwork(Options());
  // The third host knows no way back to 10.85.0.0/16: only masqueraded packets get an answer.
  StatusOr<Lease> pod = network->Add(Pod("a"));
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_EQ(Shell(-1,
                  "ip netns add third && ip link add out0 type veth peer name in0 netns third"
                  " && ip addr add 192.0.2.1/24 dev out0 && ip link set out0 up"
                  " && ip -n third addr add 192.0.2.2/24 dev in0 && ip -n third link set in0 up"),
            0);
  EXPECT_EQ(Shell(pod->netns.get(), Ping("192.0.2.2")), 0);
  std::string out;
  EXPECT_EQ(Shell(-1, "nft delete table inet crisp_cni0 && echo deleted", &out), 0) << out;
  Shell(-1, "ip netns del third");
}

TEST_F(BuiltinTest, AFlushedRulesetComesBack) {
  auto network = OpenNetwork(Options());
  PodIdentity pod = Pod("a");
  pod.ports = {{"tcp", 80, 8080, ""}};
  ASSERT_TRUE(network->Add(pod).ok());
  std::string before, after;
  Shell(-1, "nft list ruleset", &before);
  ASSERT_NE(before.find("masquerade"), std::string::npos) << before;
  ASSERT_NE(before.find("tcp . 8080 : 10.85.0.2 . 80"), std::string::npos) << before;
  ASSERT_EQ(Shell(-1, "nft flush ruleset"), 0);
  EXPECT_TRUE(Eventually([&] {
    Shell(-1, "nft list ruleset", &after);
    return after == before;
  })) << after;
  ASSERT_EQ(Shell(-1, "nft flush chain inet crisp_cni0 postrouting"), 0);
  EXPECT_TRUE(Eventually([&] {
    Shell(-1, "nft list ruleset", &after);
    return after == before;
  })) << after;
}

TEST_F(BuiltinTest, ReleaseFencesUntilTheCableIsGone) {
  NetworkOptions options = Options();
  options.builtin_subnet = "10.85.0.0/29";  // .2 to .6
  auto network = OpenNetwork(options);
  std::vector<StatusOr<Lease>> leases;
  for (int i = 0; i < 5; ++i) {
    leases.push_back(network->Add(Pod(absl::StrCat("p", i))));
    ASSERT_TRUE(leases.back().ok()) << leases.back().status();
  }
  const StatusOr<Lease> none = network->Add(Pod("more"));
  EXPECT_EQ(none.status().code(), absl::StatusCode::kResourceExhausted) << none.status();
  EXPECT_EQ(network->addresses_in_use(), 5u);

  // The namespace stays open: the cable must be deleted, and only then is the address free.
  const int64_t start = MonotonicNanos();
  ASSERT_TRUE(network->Release(Pod("p3").sandbox_id, leases[3]->record).ok());
  EXPECT_LT(MonotonicNanos() - start, 20'000'000) << "Release must not wait for the kernel";
  EXPECT_EQ(network->addresses_in_use(), 5u) << "fenced";
  const StatusOr<Lease> again = network->Add(Pod("again"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->ips[0], leases[3]->ips[0]);
  EXPECT_EQ(CountLinks(": cr"), 5);
  // A second Release of the old pod must not take the new pod's address away.
  ASSERT_TRUE(network->Release(Pod("p3").sandbox_id, leases[3]->record).ok());
  EXPECT_TRUE(network->Quiesce(5000));
  EXPECT_EQ(network->addresses_in_use(), 5u);
}

TEST_F(BuiltinTest, ClosingTheNamespaceEndsTheFence) {
  auto network = OpenNetwork(Options());
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok());
  lease->netns.Reset();
  ASSERT_TRUE(network->Release(Pod("a").sandbox_id, lease->record).ok());
  EXPECT_TRUE(network->Quiesce(5000));
  EXPECT_EQ(network->addresses_in_use(), 0u);
  EXPECT_EQ(CountLinks(": cr"), 0);
  // Addresses come back late.
  StatusOr<Lease> next = network->Add(Pod("b"));
  EXPECT_EQ(next->ips[0], "10.85.0.3");
}

TEST_F(BuiltinTest, ARestartAdoptsTheLivingAndSweepsTheRest) {
  auto network = OpenNetwork(Options());
  PodIdentity a = Pod("a"), b = Pod("b");
  a.ports = {{"tcp", 80, 8080, ""}};
  b.ports = {{"udp", 53, 5353, "192.0.2.1"}};
  StatusOr<Lease> living = network->Add(a), forgotten = network->Add(b);
  ASSERT_TRUE(living.ok() && forgotten.ok());
  network.reset();  // as if killed: nothing is undone
  EXPECT_EQ(CountLinks(": cr"), 2);

  network = OpenNetwork(Options());
  EXPECT_EQ(network->addresses_in_use(), 2u) << "fenced until Sweep";
  ASSERT_TRUE(network->Adopt(a.sandbox_id, living->record).ok());
  EXPECT_FALSE(network->Adopt(Pod("c").sandbox_id, living->record).ok()) << "same address twice";
  ASSERT_TRUE(network->Sweep().ok());
  EXPECT_TRUE(network->Quiesce(5000));
  EXPECT_EQ(network->addresses_in_use(), 1u);
  EXPECT_EQ(CountLinks(": cr"), 1);
  std::string rules;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_NE(rules.find("tcp . 8080 : 10.85.0.2 . 80"), std::string::npos) << rules;
  EXPECT_EQ(rules.find("5353"), std::string::npos) << rules;
  EXPECT_EQ(Shell(living->netns.get(), Ping("10.85.0.1")), 0);
  StatusOr<Lease> next = network->Add(Pod("d"));
  ASSERT_TRUE(next.ok());
  EXPECT_NE(next->ips[0], living->ips[0]);
  ASSERT_TRUE(network->Release(a.sandbox_id, living->record).ok());
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_EQ(rules.find("8080"), std::string::npos) << rules;
}

TEST_F(BuiltinTest, TwoDaemonsSideBySideLeaveEachOtherAlone) {
  auto first = OpenNetwork(Options());
  NetworkOptions other = Options();
  other.state_dir = root_ + "/state/other";
  other.builtin_bridge = "cni1";
  other.builtin_subnet = "10.86.0.0/16";
  auto second = OpenNetwork(other);
  StatusOr<Lease> a = first->Add(Pod("a")), b = second->Add(Pod("b"));
  ASSERT_TRUE(a.ok() && b.ok());
  second.reset();
  second = OpenNetwork(other);
  ASSERT_TRUE(second->Sweep().ok());
  EXPECT_TRUE(second->Quiesce(5000));
  EXPECT_EQ(CountLinks(": cr"), 1);
  EXPECT_EQ(Shell(a->netns.get(), Ping("10.85.0.1")), 0);
}

TEST_F(BuiltinTest, AFailedAddLeavesNothing) {
  ASSERT_EQ(Shell(-1, "ip link add cni0 type veth peer name other0"), 0);
  auto network = OpenNetwork(Options());
  StatusOr<Lease> lease = network->Add(Pod("a"));
  EXPECT_EQ(lease.status().code(), absl::StatusCode::kFailedPrecondition) << lease.status();
  EXPECT_EQ(network->addresses_in_use(), 0u);
  EXPECT_EQ(CountLinks(": cr"), 0);
  const NetworkStatus status = network->CurrentStatus();
  EXPECT_FALSE(status.ready);
  EXPECT_NE(status.message.find("veth"), std::string::npos) << status.message;
  // It heals by itself when the cause is gone.
  ASSERT_EQ(Shell(-1, "ip link del cni0"), 0);
  EXPECT_TRUE(network->CurrentStatus().ready);
  EXPECT_TRUE(network->Add(Pod("a")).ok());
}

TEST_F(BuiltinTest, ASubnetThatAnotherLinkHasIsRefused) {
  ASSERT_EQ(Shell(-1, "ip link add other type bridge && ip addr add 10.85.3.1/24 dev other"), 0);
  auto network = OpenNetwork(Options());
  StatusOr<Lease> lease = network->Add(Pod("a"));
  EXPECT_EQ(lease.status().code(), absl::StatusCode::kFailedPrecondition) << lease.status();
  EXPECT_NE(lease.status().message().find("other"), absl::string_view::npos) << lease.status();
  EXPECT_EQ(CountLinks("cni0"), 0) << "the half-made bridge must go";
}

TEST_F(BuiltinTest, ADeletedBridgeIsMadeAgain) {
  NetworkOptions options = Options();
  options.pool_size = 2;
  auto network = OpenNetwork(options);
  ASSERT_TRUE(network->Sweep().ok());
  ASSERT_TRUE(Eventually([&] { return network->pool_count() == 2; }));
  EXPECT_EQ(network->CurrentStatus().pool_missing, 0u);
  ASSERT_EQ(Shell(-1, "ip link del cni0"), 0);
  ASSERT_TRUE(Eventually([&] { return CountLinks(" cni0: ") == 1 && network->pool_count() == 2; }));
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(Shell(lease->netns.get(), Ping("10.85.0.1")), 0);
}

TEST_F(BuiltinTest, ThePoolIsFilledUsedAndDropped) {
  NetworkOptions options = Options();
  options.pool_size = 4;
  {
    auto network = OpenNetwork(options);
    EXPECT_EQ(network->pool_count(), 0u) << "not before Sweep: adopted addresses come first";
    ASSERT_TRUE(network->Sweep().ok());
    ASSERT_TRUE(Eventually([&] { return network->pool_count() == 4; }));
    StatusOr<Lease> a = network->Add(Pod("a")), b = network->Add(Pod("b"));
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_EQ(Shell(a->netns.get(), Ping(b->ips[0])), 0);
    ASSERT_TRUE(Eventually([&] { return network->pool_count() == 4; }));
    EXPECT_EQ(network->addresses_in_use(), 6u);
    // Another subnet by a conflist: the ready ones are of the old one.
    WriteConf("10-x.conflist", R"({"cniVersion":"1.0.0","name":"x","plugins":[{"type":"bridge",
      "bridge":"x0","isGateway":true,"ipam":{"type":"host-local","subnet":"10.99.0.0/24"}}]})");
    StatusOr<Lease> c = network->Add(Pod("c"));
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_EQ(c->ips[0].substr(0, 6), "10.99.");
    ASSERT_TRUE(Eventually([&] { return network->pool_count() == 4; }));
  }
  EXPECT_TRUE(Eventually([] { return CountLinks(": cr") == 0; })) << CountLinks(": cr");
}

TEST_F(BuiltinTest, ThePoolDoesNotEatASmallSubnet) {
  NetworkOptions options = Options();
  options.pool_size = 8;
  options.builtin_subnet = "10.85.0.0/29";
  auto network = OpenNetwork(options);
  ASSERT_TRUE(network->Sweep().ok());
  std::vector<StatusOr<Lease>> leases;
  for (int i = 0; i < 5; ++i) {
    leases.push_back(network->Add(Pod(absl::StrCat("p", i))));
    ASSERT_TRUE(leases.back().ok()) << leases.back().status();
  }
}

TEST_F(BuiltinTest, ChurnOfFiftyThreadsLeaksNothing) {
  NetworkOptions options = Options();
  options.pool_size = 8;
  auto network = OpenNetwork(options);
  ASSERT_TRUE(network->Sweep().ok());
  ASSERT_TRUE(Eventually([&] { return network->pool_count() == 8; }));
  const int fds = CountOpenFds();
  std::mutex mutex;
  std::set<std::string> live;
  std::vector<std::thread> threads;
  for (int t = 0; t < 50; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 6; ++i) {
        PodIdentity pod = Pod(absl::StrCat("t", t, "i", i));
        pod.ports = {{"tcp", 80, 10000 + t * 10 + i, ""}};
        StatusOr<Lease> lease = network->Add(pod);
        ASSERT_TRUE(lease.ok()) << lease.status();
        {
          const std::lock_guard<std::mutex> lock(mutex);
          ASSERT_TRUE(live.insert(lease->ips[0]).second) << "two pods with " << lease->ips[0];
        }
        {
          const std::lock_guard<std::mutex> lock(mutex);
          live.erase(lease->ips[0]);
        }
        lease->netns.Reset();
        ASSERT_TRUE(network->Release(pod.sandbox_id, lease->record).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(network->Quiesce(20000));
  ASSERT_TRUE(Eventually([&] { return network->pool_count() == 8; }));
  EXPECT_EQ(network->addresses_in_use(), 8u);
  EXPECT_EQ(CountLinks(": cr"), 8);
  EXPECT_EQ(CountOpenFds(), fds);
  std::string rules;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_EQ(rules.find("tcp ."), std::string::npos) << rules;
}

TEST_F(BuiltinTest, NoConflistAndNotBuiltinIsNotReady) {
  NetworkOptions options = Options();
  options.builtin = false;
  options.conf_dirs = {root_ + "/later"};
  auto network = OpenNetwork(options);
  NetworkStatus status = network->CurrentStatus();
  EXPECT_FALSE(status.ready);
  EXPECT_EQ(status.reason, "NetworkPluginNotReady");
  EXPECT_EQ(status.message, "Network plugin returns error: cni plugin not initialized");
  EXPECT_EQ(network->Add(Pod("a")).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_EQ(Shell(-1, "mkdir " + root_ + "/later && cat > " + root_ +
                          R"(/later/1.conf <<'X'
{"cniVersion":"0.4.0","name":"late","type":"bridge","bridge":"l0","isDefaultGateway":true,
"ipam":{"type":"host-local","ranges":[[{"subnet":"10.98.0.0/24"}],[{"subnet":"fd00:98::/64"}]]}}
X)"),
            0);
  EXPECT_TRUE(network->CurrentStatus().ready) << network->CurrentStatus().message;
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->ips, (std::vector<std::string>{"10.98.0.2", "fd00:98::2"}));
  EXPECT_EQ(Shell(lease->netns.get(), "busybox ping -6 -c 1 -W 2 fd00:98::1 >/dev/null"), 0);
  ASSERT_EQ(Shell(-1, "rm -r " + root_ + "/later"), 0);
  EXPECT_FALSE(network->CurrentStatus().ready);
}

TEST_F(BuiltinTest, PublishedPortsReachThePod) {
  auto network = OpenNetwork(Options());
  PodIdentity pod = Pod("web");
  pod.ports = {{"tcp", 80, 8080, ""}, {"tcp", 80, 8081, "192.0.2.1"}, {"tcp", 81, 0, ""}};
  StatusOr<Lease> web = network->Add(pod), client = network->Add(Pod("client"));
  ASSERT_TRUE(web.ok() && client.ok()) << web.status();
  ASSERT_EQ(Shell(-1,
                  "ip netns add third && ip link add out0 type veth peer name in0 netns third"
                  " && ip addr add 192.0.2.1/24 dev out0 && ip link set out0 up"
                  " && ip -n third addr add 192.0.2.2/24 dev in0 && ip -n third link set in0 up"
                  " && ip -n third route add 198.51.100.0/24 via 192.0.2.1"),
            0);
  // -e: answers every caller once with the pod's greeting.
  const pid_t server = fork();
  if (server == 0) {
    Shell(web->netns.get(), "timeout 60 busybox nc -ll -p 80 -e busybox echo hello");
    _exit(0);
  }
  ASSERT_TRUE(Eventually(
      [&] { return Shell(web->netns.get(), "busybox netstat -ltn | grep -q ':80 '") == 0; }));
  const std::string ask = " | grep -q hello";
  EXPECT_EQ(Shell(-1, "ip netns exec third busybox nc -w 2 192.0.2.1 8080 </dev/null" + ask), 0);
  EXPECT_EQ(Shell(-1, "ip netns exec third busybox nc -w 2 192.0.2.1 8081 </dev/null" + ask), 0);
  EXPECT_EQ(Shell(-1, "busybox nc -w 2 192.0.2.1 8080 </dev/null" + ask), 0) << "from the node";
  EXPECT_EQ(Shell(-1, "busybox nc -w 2 127.0.0.1 8080 </dev/null" + ask), 0) << "loopback";
  EXPECT_NE(Shell(-1, "busybox nc -w 2 127.0.0.1 8081 </dev/null" + ask), 0) << "other address";
  EXPECT_EQ(Shell(client->netns.get(), "busybox nc -w 2 192.0.2.1 8080 </dev/null" + ask), 0);
  EXPECT_EQ(Shell(web->netns.get(), "busybox nc -w 2 192.0.2.1 8080 </dev/null" + ask), 0)
      << "hairpin";
  EXPECT_NE(Shell(-1, "busybox nc -w 2 10.85.0.1 8081 </dev/null" + ask), 0) << "other address";
  // CVE-2025-67499: what is only forwarded is not ours.
  EXPECT_NE(Shell(-1, "ip netns exec third busybox nc -w 1 198.51.100.1 8080 </dev/null" + ask), 0);
  // The same port twice is refused and leaves nothing.
  PodIdentity second = Pod("second");
  second.ports = {{"tcp", 80, 9090, ""}, {"tcp", 80, 8081, ""}};
  EXPECT_EQ(network->Add(second).status().code(), absl::StatusCode::kAlreadyExists);
  std::string rules;
  Shell(-1, "nft list ruleset", &rules);
  EXPECT_EQ(rules.find("9090"), std::string::npos) << rules;
  ASSERT_TRUE(network->Release(pod.sandbox_id, web->record).ok());
  EXPECT_NE(Shell(-1, "ip netns exec third busybox nc -w 1 192.0.2.1 8080 </dev/null" + ask), 0);
  kill(server, SIGTERM);
  web->netns.Reset();
  Shell(-1, "ip netns del third");
  waitpid(server, nullptr, 0);
}

// CVE-2020-8558: what published ports need to answer on 127.0.0.1 opens none of the node's loopback
// services to pods, neither as destination nor by a feigned source.
TEST_F(BuiltinTest, LoopbackServicesStayOutOfThePodsReach) {
  auto network = OpenNetwork(Options());
  PodIdentity pod = Pod("attacker");
  pod.ports = {{"tcp", 80, 8080, ""}};
  StatusOr<Lease> lease = network->Add(pod);
  ASSERT_TRUE(lease.ok()) << lease.status();
  std::string routed;
  Shell(-1, "cat /proc/sys/net/ipv4/conf/cni0/route_localnet", &routed);
  ASSERT_EQ(routed, "1\n");
  const pid_t server = fork();
  if (server == 0) {
    Shell(-1, "timeout 60 busybox nc -ll -p 7777 -e busybox echo secret");
    _exit(0);
  }
  ASSERT_TRUE(Eventually([&] { return Shell(-1, "busybox netstat -ltn | grep -q :7777") == 0; }));
  // The node itself reaches it, the pod's own loopback is out of the way: its packets do leave.
  EXPECT_EQ(Shell(-1, "busybox nc -w 2 127.0.0.1 7777 </dev/null | grep -q secret"), 0);
  const int attacker = lease->netns.get();
  ASSERT_EQ(Shell(attacker,
                  "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr flush dev lo; "
                  "ip route add 127.0.0.0/8 via 10.85.0.1 dev eth0"),
            0);
  EXPECT_NE(Shell(attacker, "busybox nc -w 1 127.0.0.1 7777 </dev/null | grep -q secret"), 0);
  std::string counted;
  Shell(-1, "nft list chain inet crisp_cni0 guard", &counted);
  EXPECT_NE(counted.find("127.0.0.0/8"), std::string::npos) << counted;
  // With the last port the door is closed again.
  ASSERT_TRUE(network->Release(pod.sandbox_id, lease->record).ok());
  Shell(-1, "cat /proc/sys/net/ipv4/conf/cni0/route_localnet", &routed);
  EXPECT_EQ(routed, "0\n");
  kill(server, SIGTERM);
  lease->netns.Reset();
  waitpid(server, nullptr, 0);
}

TEST_F(BuiltinTest, BadPortsAreRefused) {
  auto network = OpenNetwork(Options());
  for (const PortMapping& bad :
       {PortMapping{"icmp", 80, 8080, ""}, PortMapping{"tcp", 0, 8080, ""},
        PortMapping{"tcp", 80, 65536, ""}, PortMapping{"tcp", 80, 8080, "nowhere"}}) {
    PodIdentity pod = Pod("a");
    pod.ports = {bad};
    EXPECT_EQ(network->Add(pod).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(network->addresses_in_use(), 0u);
}

TEST_F(BuiltinTest, AnMtuTooSmallForIpv6) {
  WriteConf("10-x.conflist", R"({"cniVersion":"1.0.0","name":"x","plugins":[{"type":"bridge",
    "bridge":"x0","isDefaultGateway":true,"mtu":1000,"hairpinMode":true,"portIsolation":true,
    "ipam":{"type":"host-local","dataDir":"/nowhere","subnet":"10.99.0.0/24"}}]})");
  auto network = OpenNetwork(Options());
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(Shell(lease->netns.get(), Ping("10.99.0.1")), 0);
  std::string out;
  Shell(-1, "ip -d link show master x0", &out);
  for (const char* word : {"mtu 1000", "hairpin on", "isolated on", "alias crisp "})
    EXPECT_NE(out.find(word), std::string::npos) << word << " in " << out;
}

// CVE-2020-10749: a pod with CAP_NET_RAW says that it is an IPv6 router.
TEST_F(BuiltinTest, NoInterfaceHasIpv6InAnIpv4Network) {
  auto network = OpenNetwork(Options());
  StatusOr<Lease> a = network->Add(Pod("a")), b = network->Add(Pod("b"));
  ASSERT_TRUE(a.ok() && b.ok());
  std::string out;
  Shell(-1, "ip -6 -o addr show scope link; ip -6 route show dev cni0", &out);
  EXPECT_EQ(out, "") << "neither bridge nor cables have an address to receive it";
  for (const int netns : {a->netns.get(), b->netns.get()}) {
    Shell(netns,
          "ip -6 -o addr; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6 "
          "/proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/lo/disable_ipv6",
          &out);
    EXPECT_EQ(out, "1\n0\n1\n");
  }
}

// Another runtime on the node uses the same host-local folder.
TEST_F(BuiltinTest, AddressesReservedByOthersOnDiskAreLeftOut) {
  ASSERT_EQ(Shell(-1, "mkdir -p " + root_ + "/ipam/x && touch " + root_ + "/ipam/x/10.99.0.2"), 0);
  WriteConf("10-x.conflist", R"({"cniVersion":"1.0.0","name":"x","plugins":[{"type":"bridge",
    "bridge":"x0","ipam":{"type":"host-local","dataDir":")" +
                                 root_ + R"(/ipam","subnet":"10.99.0.0/24"}}]})");
  auto network = OpenNetwork(Options());
  StatusOr<Lease> lease = network->Add(Pod("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->ips[0], "10.99.0.3");
}

TEST_F(BuiltinTest, NoMoreNamespacesIsAnErrorThatLeavesNothing) {
  auto network = OpenNetwork(Options());
  StatusOr<Lease> first = network->Add(Pod("first"));
  ASSERT_TRUE(first.ok());
  rlimit old{}, low{};
  getrlimit(RLIMIT_NOFILE, &old);
  low = old;
  low.rlim_cur = static_cast<rlim_t>(CountOpenFds() - 1);
  setrlimit(RLIMIT_NOFILE, &low);
  const StatusOr<Lease> lease = network->Add(Pod("a"));
  setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_EQ(lease.status().code(), absl::StatusCode::kResourceExhausted) << lease.status();
  EXPECT_TRUE(network->Quiesce(5000));
  EXPECT_EQ(network->addresses_in_use(), 1u);
  EXPECT_EQ(CountLinks(": cr"), 1);
  EXPECT_TRUE(network->Add(Pod("a")).ok());
}

// Prints figures; checks none of them.
TEST_F(BuiltinTest, PrintTimes) {
  NetworkOptions options = Options();
  for (const int pool : {0, 8}) {
    options.pool_size = pool;
    auto network = OpenNetwork(options);
    ASSERT_TRUE(network->Sweep().ok());
    ASSERT_TRUE(Eventually([&] { return network->pool_count() == static_cast<size_t>(pool); }));
    std::vector<int64_t> add, release;
    for (int i = 0; i < 7; ++i) {
      const PodIdentity pod = Pod(absl::StrCat("n", pool, "i", i));
      const int64_t t0 = MonotonicNanos();
      StatusOr<Lease> lease = network->Add(pod);
      const int64_t t1 = MonotonicNanos();
      ASSERT_TRUE(lease.ok());
      lease->netns.Reset();
      const int64_t t2 = MonotonicNanos();
      ASSERT_TRUE(network->Release(pod.sandbox_id, lease->record).ok());
      add.push_back(t1 - t0);
      release.push_back(MonotonicNanos() - t2);
    }
    std::sort(add.begin(), add.end());
    std::sort(release.begin(), release.end());
    printf("pool %d: add median %.0f us, release %.0f us\n", pool, double(add[3]) / 1e3,
           double(release[3]) / 1e3);
  }
}

}  // namespace
}  // namespace crisp::cni
