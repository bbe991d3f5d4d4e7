#include "cni/netlink/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>

#include "cni/netlink/nft_rule.h"

namespace crisp::cni {
namespace {

// The mark bit that CNI's portmap uses for the same purpose (its markMasqBit 13).
constexpr uint32_t kHairpinMark = 0x2000;
constexpr char kPublished[] = "published";
constexpr char kGuard[] = "guard";

// nft's numbers of data types, so that `nft list` shows the maps in words.
constexpr uint32_t kTypeIpv4 = 7, kTypeIpv6 = 8, kTypeProtocol = 12, kTypePort = 13;

uint16_t Type(int message) { return static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message); }

nfgenmsg Header(uint8_t family = NFPROTO_INET) {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  return header;
}

void BeginTransaction(NlBatch& batch) {
  nfgenmsg header = Header(AF_UNSPEC);
  header.res_id = htons(NFNL_SUBSYS_NFTABLES);
  batch.Begin(NFNL_MSG_BATCH_BEGIN, 0, header);
}

Status Commit(NlSocket& socket, NlBatch& batch, absl::string_view what) {
  const size_t last = batch.count() - 1;
  nfgenmsg header = Header(AF_UNSPEC);
  header.res_id = htons(NFNL_SUBSYS_NFTABLES);
  batch.Begin(NFNL_MSG_BATCH_END, 0, header);
  return socket.Transact(batch, what, last);
}

void AppendTable(NlBatch& batch, int message, const std::string& name) {
  batch.Begin(Type(message), message == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, Header());
  batch.PutString(NFTA_TABLE_NAME, name);
}

void AppendChain(NlBatch& batch, const std::string& table, const char* name) {
  batch.Begin(Type(NFT_MSG_NEWCHAIN), NLM_F_CREATE, Header());
  batch.PutString(NFTA_CHAIN_TABLE, table);
  batch.PutString(NFTA_CHAIN_NAME, name);
}

void AppendHookChain(NlBatch& batch, const std::string& table, const char* name, uint32_t hook,
                     int32_t priority, const char* type = "nat") {
  AppendChain(batch, table, name);
  {
    NlNest nest(batch, NFTA_CHAIN_HOOK, true);
    batch.PutBe32(NFTA_HOOK_HOOKNUM, hook);
    batch.PutBe32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(priority));
  }
  batch.PutString(NFTA_CHAIN_TYPE, type);
}

// The four maps: published on every address of the node, or on one; for each family.
struct PortMap {
  const char* name;
  int family;
  bool with_ip;
  int address_registers() const { return family == AF_INET6 ? 4 : 1; }
  int key_registers() const { return 2 + (with_ip ? address_registers() : 0); }
};
constexpr PortMap kPortMaps[] = {{"ports4_ip", AF_INET, true},
                                 {"ports4", AF_INET, false},
                                 {"ports6_ip", AF_INET6, true},
                                 {"ports6", AF_INET6, false}};

void AppendMap(NlBatch& batch, const std::string& table, const PortMap& map, uint32_t id) {
  const uint32_t address = map.family == AF_INET6 ? kTypeIpv6 : kTypeIpv4;
  const uint32_t key = map.with_ip ? (((kTypeProtocol << 6) | address) << 6) | kTypePort
                                   : (kTypeProtocol << 6) | kTypePort;
  batch.Begin(Type(NFT_MSG_NEWSET), NLM_F_CREATE, Header());
  batch.PutString(NFTA_SET_TABLE, table);
  batch.PutString(NFTA_SET_NAME, map.name);
  batch.PutBe32(NFTA_SET_ID, id);
  batch.PutBe32(NFTA_SET_FLAGS, NFT_SET_MAP);
  batch.PutBe32(NFTA_SET_KEY_TYPE, key);
  batch.PutBe32(NFTA_SET_KEY_LEN, static_cast<uint32_t>(map.key_registers()) * 4);
  batch.PutBe32(NFTA_SET_DATA_TYPE, (address << 6) | kTypePort);
  batch.PutBe32(NFTA_SET_DATA_LEN, static_cast<uint32_t>(map.address_registers() + 1) * 4);
}

// Leaves the key at register 0 and the pod's address and port at register 8.
constexpr int kValueRegister = 8;
void MatchPort(NftRule& rule, const PortMap& map) {
  rule.LoadProtocol(0);
  if (map.with_ip) rule.LoadDestination(map.family, 1);
  rule.LoadDestinationPort(map.key_registers() - 1);
  rule.Lookup(map.name, 0, kValueRegister);
}

int AppendPublishedRules(NlBatch& batch, const NftTable& table) {
  int count = 0;
  for (const PortMap& map : kPortMaps) {
    for (const IpPrefix& subnet : table.subnets) {
      if (subnet.ip.family != map.family) continue;
      // A pod that calls a published port must see its own call come back through the node.
      NftRule rule(batch, table.name, kPublished);
      rule.Family(map.family).SourceIn(subnet);
      MatchPort(rule, map);
      rule.SetMark(kHairpinMark);
      ++count;
    }
    NftRule rule(batch, table.name, kPublished);
    rule.Family(map.family);
    MatchPort(rule, map);
    rule.DestinationNat(map.family, kValueRegister, kValueRegister + map.address_registers());
    ++count;
  }
  return count;
}

const IpPrefix& Loopback4() {
  static const IpPrefix& prefix = *new IpPrefix(*ParsePrefix("127.0.0.0/8"));
  return prefix;
}

int AppendEntryRules(NlBatch& batch, const NftTable& table) {
  static const IpPrefix kLoopback6 = *ParsePrefix("::1/128");
  NftRule(batch, table.name, "prerouting").DestinationIsLocal().Jump(kPublished);
  if (table.bridge.empty()) {
    NftRule(batch, table.name, "output")
        .Family(AF_INET)
        .DestinationNotIn(Loopback4())
        .DestinationIsLocal()
        .Jump(kPublished);
  } else {
    NftRule(batch, table.name, "output").Family(AF_INET).DestinationIsLocal().Jump(kPublished);
  }
  // IPv6 has no route_localnet: ::1 never leaves lo.
  NftRule(batch, table.name, "output")
      .Family(AF_INET6)
      .DestinationNotIn(kLoopback6)
      .DestinationIsLocal()
      .Jump(kPublished);
  return 3;
}

// route_localnet lets what comes from the bridge reach the node's loopback services, or feign to be
// them (CVE-2020-8558). Before connection tracking: there an answer to a published port still has
// the bridge's own address, so no honest packet has a loopback one.
int AppendGuardRules(NlBatch& batch, const NftTable& table) {
  if (table.bridge.empty()) return 0;
  NftRule(batch, table.name, kGuard)
      .FromInterface(table.bridge)
      .Family(AF_INET)
      .DestinationIn(Loopback4())
      .Drop();
  NftRule(batch, table.name, kGuard)
      .FromInterface(table.bridge)
      .Family(AF_INET)
      .SourceIn(Loopback4())
      .Drop();
  return 2;
}

int AppendPostroutingRules(NlBatch& batch, const NftTable& table) {
  static const IpPrefix kMulticast4 = *ParsePrefix("224.0.0.0/4"),
                        kMulticast6 = *ParsePrefix("ff00::/8");
  for (const IpPrefix& subnet : table.masquerade) {
    NftRule(batch, table.name, "postrouting")
        .Family(subnet.ip.family)
        .SourceIn(subnet)
        .DestinationNotIn(subnet)
        .DestinationNotIn(subnet.ip.family == AF_INET6 ? kMulticast6 : kMulticast4)
        .Masquerade();
  }
  for (const IpPrefix& subnet : table.subnets) {
    NftRule(batch, table.name, "postrouting")
        .Family(subnet.ip.family)
        .SourceIn(subnet)
        .DestinationIn(subnet)
        .HasMark(kHairpinMark)
        .Masquerade();
  }
  int count = static_cast<int>(table.masquerade.size() + table.subnets.size());
  for (const IpPrefix& subnet : table.subnets) {
    if (table.bridge.empty() || subnet.ip.family != AF_INET) continue;
    // The pod could not answer to 127.0.0.1.
    NftRule(batch, table.name, "postrouting")
        .Family(AF_INET)
        .SourceIn(Loopback4())
        .DestinationIn(subnet)
        .Masquerade();
    ++count;
  }
  return count;
}

// All chains, maps and rules; returns the number of rules.
int AppendContent(NlBatch& batch, const NftTable& table) {
  AppendChain(batch, table.name, kPublished);
  AppendHookChain(batch, table.name, "prerouting", NF_INET_PRE_ROUTING, -100);
  AppendHookChain(batch, table.name, "output", NF_INET_LOCAL_OUT, -100);
  AppendHookChain(batch, table.name, "postrouting", NF_INET_POST_ROUTING, 100);
  if (!table.bridge.empty()) {
    AppendHookChain(batch, table.name, kGuard, NF_INET_PRE_ROUTING, -300, "filter");
  }
  uint32_t id = 0;
  for (const PortMap& map : kPortMaps) AppendMap(batch, table.name, map, ++id);
  return AppendPublishedRules(batch, table) + AppendEntryRules(batch, table) +
         AppendPostroutingRules(batch, table) + AppendGuardRules(batch, table);
}

void AppendPadded(std::string* key, absl::string_view bytes) {
  key->append(bytes.data(), bytes.size());
  key->resize((key->size() + 3) & ~size_t{3});
}

void AppendPort(std::string* key, uint16_t port) {
  const char bytes[2] = {static_cast<char>(port >> 8), static_cast<char>(port)};
  AppendPadded(key, absl::string_view(bytes, sizeof(bytes)));
}

void AppendElement(NlBatch& batch, const std::string& table, const PortForward& forward, bool add) {
  const int family = forward.pod_ip.family;
  const PortMap& map = kPortMaps[(family == AF_INET6 ? 2 : 0) + (forward.host_ip ? 0 : 1)];
  std::string key, value;
  const char protocol = static_cast<char>(forward.protocol);
  AppendPadded(&key, absl::string_view(&protocol, 1));
  if (forward.host_ip) AppendPadded(&key, forward.host_ip->view());
  AppendPort(&key, forward.host_port);
  AppendPadded(&value, forward.pod_ip.view());
  AppendPort(&value, forward.pod_port);

  batch.Begin(Type(add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM),
              add ? NLM_F_CREATE | NLM_F_EXCL : 0, Header());
  batch.PutString(NFTA_SET_ELEM_LIST_TABLE, table);
  batch.PutString(NFTA_SET_ELEM_LIST_SET, map.name);
  NlNest elements(batch, NFTA_SET_ELEM_LIST_ELEMENTS, true);
  NlNest element(batch, NFTA_LIST_ELEM, true);
  {
    NlNest nest(batch, NFTA_SET_ELEM_KEY, true);
    batch.PutBytes(NFTA_DATA_VALUE, key);
  }
  if (!add) return;
  NlNest nest(batch, NFTA_SET_ELEM_DATA, true);
  batch.PutBytes(NFTA_DATA_VALUE, value);
}

}  // namespace

Status InstallNftTable(NlSocket& socket, const NftTable& table,
                       const std::vector<PortForward>& forwards) {
  NlBatch batch;
  BeginTransaction(batch);
  // Adding first makes the delete succeed in any case (DESTROYTABLE is 6.3).
  AppendTable(batch, NFT_MSG_NEWTABLE, table.name);
  AppendTable(batch, NFT_MSG_DELTABLE, table.name);
  AppendTable(batch, NFT_MSG_NEWTABLE, table.name);
  AppendContent(batch, table);
  for (const PortForward& forward : forwards) AppendElement(batch, table.name, forward, true);
  return Commit(socket, batch, absl::StrCat("install nftables table ", table.name));
}

Status CreateNftTable(NlSocket& socket, const NftTable& table) {
  NlBatch batch;
  BeginTransaction(batch);
  batch.Begin(Type(NFT_MSG_NEWTABLE), NLM_F_CREATE | NLM_F_EXCL, Header());
  batch.PutString(NFTA_TABLE_NAME, table.name);
  AppendContent(batch, table);
  const Status status = Commit(socket, batch, absl::StrCat("make nftables table ", table.name));
  return ErrnoOf(status) == EEXIST ? absl::OkStatus() : status;
}

Status DeleteNftTable(NlSocket& socket, const std::string& name) {
  NlBatch batch;
  BeginTransaction(batch);
  AppendTable(batch, NFT_MSG_NEWTABLE, name);
  AppendTable(batch, NFT_MSG_DELTABLE, name);
  return Commit(socket, batch, absl::StrCat("delete nftables table ", name));
}

StatusOr<bool> NftTableIntact(NlSocket& socket, const NftTable& table) {
  NlBatch unused, request;
  const int expected = AppendContent(unused, table);
  request.Begin(Type(NFT_MSG_GETRULE), NLM_F_DUMP, Header());
  request.PutString(NFTA_RULE_TABLE, table.name);
  int found = 0;
  const Status status =
      socket.Query(request, absl::StrCat("list rules of nftables table ", table.name),
                   [&](const NlMessage& message) {
                     found += message.header.nlmsg_type == Type(NFT_MSG_NEWRULE);
                   });
  // Interrupted: the change that did it is announced as well, and looked at again.
  if (absl::IsAborted(status)) return true;
  if (ErrnoOf(status) == ENOENT) return false;
  RETURN_IF_ERROR(status);
  return found == expected;
}

Status AddPortForwards(NlSocket& socket, const std::string& table,
                       const std::vector<PortForward>& forwards) {
  if (forwards.empty()) return absl::OkStatus();
  NlBatch batch;
  BeginTransaction(batch);
  for (const PortForward& forward : forwards) AppendElement(batch, table, forward, true);
  return Commit(socket, batch, absl::StrCat("publish ports in nftables table ", table));
}

Status DeletePortForwards(NlSocket& socket, const std::string& table,
                          const std::vector<PortForward>& forwards) {
  Status result;
  for (const PortForward& forward : forwards) {
    NlBatch batch;
    BeginTransaction(batch);
    AppendElement(batch, table, forward, false);
    const Status status =
        Commit(socket, batch, absl::StrCat("withdraw ports from nftables table ", table));
    if (!status.ok() && ErrnoOf(status) != ENOENT && result.ok()) result = status;
  }
  return result;
}

}  // namespace crisp::cni
