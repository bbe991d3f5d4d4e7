// Addresses, address plans, records, results, netlink messages: plain values.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "cni/builtin/address_ledger.h"
#include "cni/builtin/host_local.h"
#include "cni/builtin/host_local_store.h"
#include "cni/builtin/ports.h"
#include "cni/external/result.h"
#include "cni/netlink/link.h"
#include "cni/plugins/protocol.h"
#include "cni/record.h"
#include "runtime/base/files.h"

namespace crisp::cni {
namespace {

IpAddr Ip(const std::string& text) { return *ParseIp(text); }

RangeSet Set(const std::string& subnet) {
  return {*MakeRange(*ParsePrefix(subnet), std::nullopt, std::nullopt, std::nullopt)};
}

TEST(Ip, ParsesAndPrints) {
  for (const char* good : {"0.0.0.0", "10.85.0.1", "255.255.255.255", "::", "fd00::1"})
    EXPECT_EQ(Ip(good).ToString(), good);
  for (const char* bad : {"", "10.85.0", "10.85.0.256", "10.85.0.1 ", "010.1.1.1x", "fd00::1%eth0",
                          "::1/64", "a.b.c.d"})
    EXPECT_FALSE(ParseIp(bad).ok()) << bad;
  EXPECT_FALSE(ParseIp(absl::string_view("10.0.0.1\0", 9)).ok());
  for (const char* bad : {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/ 8",
                          "::/129", "/8", "10.0.0.0/0x8", "10.0.0.0/8/8"})
    EXPECT_FALSE(ParsePrefix(bad).ok()) << bad;
}

TEST(Ip, Arithmetic) {
  const IpPrefix prefix = *ParsePrefix("10.85.7.9/16");
  EXPECT_EQ(prefix.Masked().ToString(), "10.85.0.0");
  EXPECT_EQ(prefix.LastAddress().ToString(), "10.85.255.255");
  EXPECT_TRUE(prefix.Contains(Ip("10.85.255.1")));
  EXPECT_FALSE(prefix.Contains(Ip("10.86.0.1")));
  EXPECT_FALSE(prefix.Contains(Ip("::")));
  EXPECT_TRUE(prefix.Overlaps(*ParsePrefix("10.0.0.0/8")));
  EXPECT_TRUE(prefix.Overlaps(*ParsePrefix("10.85.3.0/24")));
  EXPECT_FALSE(prefix.Overlaps(*ParsePrefix("10.86.0.0/16")));
  EXPECT_TRUE(ParsePrefix("::/0")->Contains(Ip("fd00::1")));
  EXPECT_EQ(Plus(Ip("10.0.0.255"), 1).ToString(), "10.0.1.0");
  EXPECT_EQ(Plus(Ip("10.0.1.0"), -1).ToString(), "10.0.0.255");
  EXPECT_EQ(Plus(Ip("fd00::ffff:ffff:ffff:ffff"), 1).ToString(), "fd00:0:0:1::");
}

TEST(AddressBook, GoesRoundAndSkipsTheGateway) {
  AddressBook book;
  const RangeSet set = Set("10.0.0.0/29");
  std::vector<std::string> taken;
  while (const auto ip = book.Take(set)) taken.push_back(ip->ToString());
  EXPECT_EQ(taken,
            (std::vector<std::string>{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}));
  book.Free(Ip("10.0.0.3"));
  book.Free(Ip("10.0.0.5"));
  EXPECT_EQ(book.Take(set)->ToString(), "10.0.0.3");
  book.Free(Ip("10.0.0.3"));
  EXPECT_EQ(book.Take(set)->ToString(), "10.0.0.5") << "late reuse: not the one just freed";
  EXPECT_EQ(book.Take(set)->ToString(), "10.0.0.3");
}

TEST(AddressBook, SeveralRangesAndSixteenMillionAddresses) {
  AddressBook book;
  RangeSet set = Set("10.0.0.0/30");
  set.push_back(Set("10.0.1.0/30")[0]);
  EXPECT_EQ(book.Take(set)->ToString(), "10.0.0.2");
  EXPECT_EQ(book.Take(set)->ToString(), "10.0.1.2");
  EXPECT_FALSE(book.Take(set));
  const RangeSet huge = Set("fd00::/64");
  EXPECT_EQ(book.Take(huge)->ToString(), "fd00::2");
  EXPECT_FALSE(book.Take(huge, [](const IpAddr&) { return true; })) << "bounded search";
}

TEST(AddressLedger, FencesBeforeItFrees) {
  AddressLedger ledger;
  BridgeNetwork network;
  network.ranges = {Set("10.0.0.0/30")};
  const std::vector<IpAddr> ips = *ledger.Take(network, 0);
  EXPECT_TRUE(absl::IsResourceExhausted(ledger.Take(network, 0).status()));
  ledger.Fence("cr1", ips, AddressLedger::Due::kAfterGrace);
  EXPECT_FALSE(ledger.Take(network, 0).ok()) << "fenced";
  EXPECT_FALSE(ledger.Claim("cr2", ips).ok());
  ledger.LinkGone("other");
  EXPECT_FALSE(ledger.Take(network, 0).ok());
  ledger.LinkGone("cr1");
  EXPECT_TRUE(ledger.Take(network, 0).ok());
  ledger.Fence("cr1", ips, AddressLedger::Due::kNever);
  EXPECT_TRUE(ledger.TakeDue(INT64_MAX - 1).empty()) << "until Sweep";
  EXPECT_TRUE(ledger.Claim("cr1", ips).ok()) << "the pod of this cable is alive";
  EXPECT_TRUE(ledger.FencedLinks().empty());
  EXPECT_EQ(ledger.in_use(), 1u);
}

TEST(HostLocalStore, RoundTrip) {
  char name[] = "/tmp/crisp-ipam-XXXXXX";
  const std::string dir = mkdtemp(name);
  {
    StatusOr<HostLocalStore> store = HostLocalStore::Open(dir, "net");
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ(store->Reserve(Set("10.0.0.0/29"), 0, "a", "eth0")->ToString(), "10.0.0.2");
    EXPECT_EQ(store->Reserve(Set("10.0.0.0/29"), 0, "b", "eth0")->ToString(), "10.0.0.3");
    // A file of an old version, without an interface.
    ASSERT_TRUE(WriteFileAtomic(OpenDir(dir + "/net")->get(), "10.0.0.5", "old", 0600, false).ok());
    EXPECT_EQ(store->Find("old", "eth0")->size(), 1u);
    EXPECT_TRUE(store->Release("old", "eth0").ok());
    EXPECT_TRUE(store->Release("a", "eth1").ok());
    EXPECT_EQ(store->Find("a", "eth0")->size(), 1u) << "another interface's";
    EXPECT_TRUE(store->ReleaseOthers({{"b", "eth0"}}).ok());
    EXPECT_TRUE(store->Find("a", "eth0")->empty());
    EXPECT_EQ(store->Find("b", "eth0")->size(), 1u);
  }
  RemoveTreeAt(AT_FDCWD, dir).IgnoreError();
}

TEST(Record, RoundTripAndBadOnes) {
  Record record;
  record.network = "net";
  record.bridge = "cni0";
  record.link = "cr0123456789";
  record.ips = {Ip("10.85.0.5"), Ip("fd00::5")};
  record.forwards = {{6, 8080, 80, std::nullopt, Ip("10.85.0.5")},
                     {17, 53, 5353, Ip("fd00::9"), Ip("fd00::5")}};
  const StatusOr<Record> back = ParseRecord(FormatRecord(record));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->link, record.link);
  EXPECT_EQ(back->ips, record.ips);
  EXPECT_EQ(back->forwards, record.forwards);
  for (const char* bad :
       {"", "null", "{}", R"({"v":2,"mode":"bridge"})", R"({"v":1,"mode":"x"})",
        R"({"v":1,"mode":"bridge","ips":["x"]})", R"({"v":1,"mode":"bridge","ips":[7]})",
        R"({"v":1,"mode":"bridge","ips":["10.0.0.1"],"ports":[[6,1,2,"",1]]})",
        R"({"v":1,"mode":"bridge","ips":["10.0.0.1"],"ports":[[6,1,70000,"",0]]})",
        R"({"v":1,"mode":"bridge","ips":["10.0.0.1"],"ports":[[6,-1,2,"",0]]})",
        R"({"v":1,"mode":"bridge","ips":["10.0.0.1"],"ports":[[6,1,2,"x",0]]})",
        R"({"v":1,"mode":"bridge","ports":7})"})
    EXPECT_FALSE(ParseRecord(bad).ok()) << bad;
}

TEST(Ports, OfEachFamily) {
  const std::vector<IpAddr> ips = {Ip("10.0.0.2"), Ip("fd00::2")};
  EXPECT_EQ(MakeForwards({{"tcp", 80, 8080, ""}}, ips).size(), 2u);
  EXPECT_EQ(MakeForwards({{"tcp", 80, 8080, "0.0.0.0"}}, ips).size(), 1u);
  EXPECT_EQ(MakeForwards({{"tcp", 80, 8080, "::"}}, ips)[0].pod_ip, ips[1]);
  EXPECT_EQ(MakeForwards({{"tcp", 80, 8080, "192.0.2.1"}}, ips)[0].host_ip, Ip("192.0.2.1"));
  EXPECT_TRUE(MakeForwards({{"tcp", 80, 0, ""}}, ips).empty());
}

TEST(PluginErrors, AreCleanedAndShort) {
  EXPECT_EQ(DescribePluginError(R"({"code":7,"msg":"a\nb"})"), "code 7: a\\nb");
  EXPECT_EQ(DescribePluginError("{}"), "");
  EXPECT_EQ(DescribePluginError("[]"), "");
  EXPECT_EQ(DescribePluginError("x"), "");
  EXPECT_EQ(DescribePluginError(R"({"code":-1,"msg":7})"), "");
  EXPECT_LE(CleanText(std::string(100000, '\x01')).size(), 1024u);
}

TEST(AddResult, EveryVersionReadsBack) {
  AddResult result;
  result.interfaces = {{"br0", "02:00:00:00:00:01", ""}, {"eth0", "02:00:00:00:00:02", "/ns"}};
  result.ips = {{*ParsePrefix("10.0.0.2/24"), Ip("10.0.0.1"), 1},
                {*ParsePrefix("fd00::2/64"), Ip("fd00::1"), 1}};
  for (const char* version : {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    const Json json = FormatResult(result, version);
    EXPECT_EQ(json["cniVersion"], version);
    const StatusOr<AddResult> back = ParseAddResult(json);
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->ips.size(), 2u) << version;
    EXPECT_EQ(back->ips[1].gateway, Ip("fd00::1"));
    EXPECT_EQ(ReadResult(json)->ips[0], Ip("10.0.0.2")) << version;
  }
}

TEST(Netlink, MessagesAndAttributesAreBounded) {
  NlBatch batch;
  batch.Begin(RTM_NEWLINK, 0, ifinfomsg{});
  batch.PutString(IFLA_IFNAME, "eth0");
  {
    NlNest info(batch, IFLA_LINKINFO);
    batch.PutString(IFLA_INFO_KIND, "veth");
  }
  batch.Begin(RTM_NEWLINK, 0, ifinfomsg{});
  batch.Finish(7, 1);
  const std::string bytes(batch.bytes().data(), batch.bytes().size());
  absl::string_view rest = bytes;
  NlMessage message;
  ASSERT_TRUE(NextMessage(&rest, &message));
  EXPECT_EQ(message.header.nlmsg_seq, 7u);
  EXPECT_EQ(ParseLink(message)->name, "eth0");
  EXPECT_EQ(ParseLink(message)->kind, "veth");
  ASSERT_TRUE(NextMessage(&rest, &message));
  EXPECT_TRUE(message.header.nlmsg_flags & NLM_F_ACK);
  EXPECT_FALSE(NextMessage(&rest, &message));
  // Every truncation is survived.
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    absl::string_view view = cut;
    while (NextMessage(&view, &message)) ParseLink(message);
  }
}

TEST(Netlink, Mac) {
  EXPECT_EQ(MacText(*ParseMac("02:00:0a:ff:00:01")), "02:00:0a:ff:00:01");
  for (const char* bad : {"", "02:00:0a:ff:00", "02:00:0a:ff:00:0g", "02-00-0a-ff-00-01",
                          "02:00:0a:ff:00:01:02", "0200:0a:ff:00:01:"})
    EXPECT_FALSE(ParseMac(bad).ok()) << bad;
}

}  // namespace
}  // namespace crisp::cni
