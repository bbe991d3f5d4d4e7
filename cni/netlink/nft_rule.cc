#include "cni/netlink/nft_rule.h"

#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace crisp::cni {
namespace {

constexpr uint32_t Reg(int number) { return NFT_REG32_00 + static_cast<uint32_t>(number); }

// One expression: NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA { ... } }.
class Expr {
 public:
  Expr(NlBatch& batch, const char* name)
      : element_(batch, NFTA_LIST_ELEM, true), data_(Open(batch, name)) {}

 private:
  static NlNest Open(NlBatch& batch, const char* name) {
    batch.PutString(NFTA_EXPR_NAME, name);
    return NlNest(batch, NFTA_EXPR_DATA, true);
  }
  NlNest element_;
  NlNest data_;
};

std::string MaskBytes(const IpPrefix& prefix) {
  std::string mask(prefix.ip.size(), '\0');
  for (int bit = 0; bit < prefix.length; ++bit)
    mask[bit / 8] = static_cast<char>(mask[bit / 8] | (0x80 >> (bit % 8)));
  return mask;
}

absl::string_view Bytes(const uint32_t& value) {
  return absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value));
}

uint8_t NfProto(int family) { return family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4; }

}  // namespace

NftRule::NftRule(NlBatch& batch, const std::string& table, const std::string& chain)
    : batch_(batch) {
  nfgenmsg header{};
  header.nfgen_family = NFPROTO_INET;
  batch.Begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, header);
  batch.PutString(NFTA_RULE_TABLE, table);
  batch.PutString(NFTA_RULE_CHAIN, chain);
  list_ = batch.OpenNest(NFTA_RULE_EXPRESSIONS, true);
}

NftRule::~NftRule() { batch_.CloseNest(list_); }

void NftRule::LoadPayload(uint32_t base, uint32_t offset, uint32_t size, int reg) {
  Expr expr(batch_, "payload");
  batch_.PutBe32(NFTA_PAYLOAD_DREG, Reg(reg));
  batch_.PutBe32(NFTA_PAYLOAD_BASE, base);
  batch_.PutBe32(NFTA_PAYLOAD_OFFSET, offset);
  batch_.PutBe32(NFTA_PAYLOAD_LEN, size);
}

void NftRule::LoadMeta(uint32_t key, int reg) {
  Expr expr(batch_, "meta");
  batch_.PutBe32(NFTA_META_KEY, key);
  batch_.PutBe32(NFTA_META_DREG, Reg(reg));
}

void NftRule::Bitwise(int reg, absl::string_view mask, absl::string_view flip) {
  Expr expr(batch_, "bitwise");
  batch_.PutBe32(NFTA_BITWISE_SREG, Reg(reg));
  batch_.PutBe32(NFTA_BITWISE_DREG, Reg(reg));
  batch_.PutBe32(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()));
  {
    NlNest nest(batch_, NFTA_BITWISE_MASK, true);
    batch_.PutBytes(NFTA_DATA_VALUE, mask);
  }
  NlNest nest(batch_, NFTA_BITWISE_XOR, true);
  batch_.PutBytes(NFTA_DATA_VALUE, flip);
}

void NftRule::Compare(int reg, uint32_t op, absl::string_view value) {
  Expr expr(batch_, "cmp");
  batch_.PutBe32(NFTA_CMP_SREG, Reg(reg));
  batch_.PutBe32(NFTA_CMP_OP, op);
  NlNest nest(batch_, NFTA_CMP_DATA, true);
  batch_.PutBytes(NFTA_DATA_VALUE, value);
}

void NftRule::InPrefix(const IpPrefix& prefix, bool source, uint32_t compare_op) {
  const bool v6 = prefix.ip.family == AF_INET6;
  const uint32_t size = static_cast<uint32_t>(prefix.ip.size());
  const uint32_t offset = (v6 ? 8u : 12u) + (source ? 0 : size);
  const IpAddr network = prefix.Masked();
  LoadPayload(NFT_PAYLOAD_NETWORK_HEADER, offset, size, 0);
  Bitwise(0, MaskBytes(prefix), std::string(size, '\0'));
  Compare(0, compare_op, network.view());
}

NftRule& NftRule::FromInterface(const std::string& name) {
  std::string padded = name;
  padded.resize(IFNAMSIZ);
  LoadMeta(NFT_META_IIFNAME, 0);
  Compare(0, NFT_CMP_EQ, padded);
  return *this;
}

NftRule& NftRule::Family(int family) {
  const char proto = static_cast<char>(NfProto(family));
  LoadMeta(NFT_META_NFPROTO, 0);
  Compare(0, NFT_CMP_EQ, absl::string_view(&proto, 1));
  return *this;
}

NftRule& NftRule::SourceIn(const IpPrefix& prefix) {
  InPrefix(prefix, true, NFT_CMP_EQ);
  return *this;
}
NftRule& NftRule::DestinationIn(const IpPrefix& prefix) {
  InPrefix(prefix, false, NFT_CMP_EQ);
  return *this;
}
NftRule& NftRule::DestinationNotIn(const IpPrefix& prefix) {
  InPrefix(prefix, false, NFT_CMP_NEQ);
  return *this;
}

NftRule& NftRule::DestinationIsLocal() {
  {
    Expr expr(batch_, "fib");
    batch_.PutBe32(NFTA_FIB_DREG, Reg(0));
    batch_.PutBe32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    batch_.PutBe32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  }
  const uint32_t local = RTN_LOCAL;
  Compare(0, NFT_CMP_EQ, Bytes(local));
  return *this;
}

NftRule& NftRule::LoadProtocol(int reg) {
  LoadMeta(NFT_META_L4PROTO, reg);
  return *this;
}

NftRule& NftRule::LoadDestination(int family, int reg) {
  const bool v6 = family == AF_INET6;
  LoadPayload(NFT_PAYLOAD_NETWORK_HEADER, v6 ? 24 : 16, v6 ? 16 : 4, reg);
  return *this;
}

NftRule& NftRule::LoadDestinationPort(int reg) {
  LoadPayload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg);
  return *this;
}

NftRule& NftRule::Lookup(const std::string& map, int key, int value) {
  Expr expr(batch_, "lookup");
  batch_.PutString(NFTA_LOOKUP_SET, map);
  batch_.PutBe32(NFTA_LOOKUP_SREG, Reg(key));
  batch_.PutBe32(NFTA_LOOKUP_DREG, Reg(value));
  return *this;
}

NftRule& NftRule::HasMark(uint32_t bit) {
  LoadMeta(NFT_META_MARK, 0);
  Bitwise(0, Bytes(bit), std::string(sizeof(bit), '\0'));
  Compare(0, NFT_CMP_EQ, Bytes(bit));
  return *this;
}

NftRule& NftRule::SetMark(uint32_t bit) {
  const uint32_t keep = ~bit;
  LoadMeta(NFT_META_MARK, 0);
  Bitwise(0, Bytes(keep), Bytes(bit));
  Expr expr(batch_, "meta");
  batch_.PutBe32(NFTA_META_KEY, NFT_META_MARK);
  batch_.PutBe32(NFTA_META_SREG, Reg(0));
  return *this;
}

NftRule& NftRule::Jump(const std::string& chain) {
  Expr expr(batch_, "immediate");
  batch_.PutBe32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  NlNest data(batch_, NFTA_IMMEDIATE_DATA, true);
  NlNest verdict(batch_, NFTA_DATA_VERDICT, true);
  batch_.PutBe32(NFTA_VERDICT_CODE, static_cast<uint32_t>(NFT_JUMP));
  batch_.PutString(NFTA_VERDICT_CHAIN, chain);
  return *this;
}

NftRule& NftRule::Masquerade() {
  Expr expr(batch_, "masq");
  // Fully random ports: two pods that ask the same DNS server at once would else collide and lose
  // a packet (kubernetes#56903).
  batch_.PutBe32(NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
  return *this;
}

NftRule& NftRule::Drop() {
  Expr expr(batch_, "immediate");
  batch_.PutBe32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  NlNest data(batch_, NFTA_IMMEDIATE_DATA, true);
  NlNest verdict(batch_, NFTA_DATA_VERDICT, true);
  batch_.PutBe32(NFTA_VERDICT_CODE, NF_DROP);
  return *this;
}

NftRule& NftRule::DestinationNat(int family, int address_reg, int port_reg) {
  Expr expr(batch_, "nat");
  batch_.PutBe32(NFTA_NAT_TYPE, NFT_NAT_DNAT);
  batch_.PutBe32(NFTA_NAT_FAMILY, NfProto(family));
  batch_.PutBe32(NFTA_NAT_REG_ADDR_MIN, Reg(address_reg));
  batch_.PutBe32(NFTA_NAT_REG_PROTO_MIN, Reg(port_reg));
  return *this;
}

}  // namespace crisp::cni
