// One nftables rule as a list of expressions. Registers are the 32-bit ones, numbered from 0; a
// concatenation (set key, map value) is a run of them.
#pragma once

#include <cstdint>
#include <string>

#include "cni/builtin/ip.h"
#include "cni/netlink/message.h"

namespace crisp::cni {

class NftRule {
 public:
  // Appends an add-rule message to `batch`; expressions follow until the object dies.
  NftRule(NlBatch& batch, const std::string& table, const std::string& chain);
  ~NftRule();
  NftRule(const NftRule&) = delete;
  NftRule& operator=(const NftRule&) = delete;

  NftRule& FromInterface(const std::string& name);
  // The packet is of this family (AF_INET, AF_INET6).
  NftRule& Family(int family);
  NftRule& SourceIn(const IpPrefix& prefix);
  NftRule& DestinationIn(const IpPrefix& prefix);
  NftRule& DestinationNotIn(const IpPrefix& prefix);
  // The routing table says that the packet is for this node (CVE-2025-67499: a published port must
  // not catch what is only forwarded).
  NftRule& DestinationIsLocal();

  NftRule& LoadProtocol(int reg);
  NftRule& LoadDestination(int family, int reg);
  NftRule& LoadDestinationPort(int reg);
  // Continues only if the key at `key` is in the map; its value goes to `value`.
  NftRule& Lookup(const std::string& map, int key, int value);

  NftRule& HasMark(uint32_t bit);
  NftRule& SetMark(uint32_t bit);
  NftRule& Jump(const std::string& chain);
  NftRule& Masquerade();
  NftRule& Drop();
  NftRule& DestinationNat(int family, int address_reg, int port_reg);

 private:
  void InPrefix(const IpPrefix& prefix, bool source, uint32_t compare_op);
  void LoadPayload(uint32_t base, uint32_t offset, uint32_t size, int reg);
  void LoadMeta(uint32_t key, int reg);
  void Bitwise(int reg, absl::string_view mask, absl::string_view flip);
  void Compare(int reg, uint32_t op, absl::string_view value);

  NlBatch& batch_;
  size_t list_;
};

}  // namespace crisp::cni
