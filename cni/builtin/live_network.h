// A bridge network in force: its bridge, its nftables table, and the making of pod networks in it.
// Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cni/builtin/address_ledger.h"
#include "cni/builtin/bridge.h"
#include "cni/builtin/netns.h"
#include "cni/builtin/nft_tables.h"
#include "cni/pool/cable_pool.h"
#include "runtime/base/status.h"

namespace crisp::cni {

// The host ends of our cables: "cr" + 10 hex digits, with "crisp TAG IP[,IP]" as their alias. The
// tag tells one daemon's cables from another's on the same node.
std::string NewCableName();
std::string CableAlias(const std::string& tag, const std::vector<IpAddr>& ips);
// The addresses in the alias; nullopt if the link is not a cable of `tag`.
std::optional<std::vector<IpAddr>> CableAddresses(const Link& link, const std::string& tag);

// "crisp_cni0"
std::string TableName(const std::string& bridge);

class LiveNetwork {
 public:
  LiveNetwork(BridgeNetwork config, std::string tag, AddressLedger* ledger, NftTables* tables)
      : config_(std::move(config)), tag_(std::move(tag)), ledger_(ledger), tables_(tables) {}

  // Bridge, forwarding and table; done once, again after Invalidate or a failure.
  Status EnsureReady();
  void Invalidate();

  // Waits up to `timeout_ms` for an address. `netns`: borrowed, one that is there already; -1: a
  // new one.
  StatusOr<Attachment> Make(int timeout_ms, int netns_fd = -1);
  // Lets go of the namespace (the kernel then takes the cable) and fences the addresses.
  void Unmake(Attachment attachment);

  const BridgeNetwork& config() const { return config_; }
  // How the last EnsureReady went; OK before the first.
  Status last_status() const;
  // Something that does not stop pods from starting, e.g. that forwarding could not be turned on.
  std::string warning() const;
  // How many pods fit into the smallest range set.
  size_t Capacity() const;

 private:
  Status Prepare();
  Status Plug(NewNetns* netns, Cable* cable);

  const BridgeNetwork config_;
  const std::string tag_;
  AddressLedger* const ledger_;
  NftTables* const tables_;

  mutable std::mutex setup_mutex_;
  bool ready_ = false;
  int bridge_index_ = 0;
  Status last_status_;
  std::string warning_;

  std::mutex host_mutex_;  // rtnl serialises in the kernel anyway
  std::optional<NlSocket> host_;
};

}  // namespace crisp::cni
