// The nftables tables of this daemon: what should be in them, kept so that a table that somebody
// flushes comes back whole. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cni/netlink/nft.h"

namespace crisp::cni {

class NftTables {
 public:
  // Installs the table. The subnets of an earlier call with the same name stay: pods of the earlier
  // configuration still live in them.
  Status Install(const NftTable& table);
  Status Publish(const std::string& table, const std::vector<PortForward>& forwards);
  Status Withdraw(const std::string& table, const std::vector<PortForward>& forwards);
  // Forwards of a pod that is found again: they come with the next Install.
  void Adopt(const std::string& table, const std::vector<PortForward>& forwards);
  // Puts back what is missing.
  Status Restore();

 private:
  struct Entry {
    std::optional<NftTable> table;  // none: only known from an adopted pod
    std::vector<PortForward> forwards;
    bool loopback_routed = false;  // by us
  };
  StatusOr<NlSocket*> Socket();
  static Status RouteLoopback(Entry* entry);

  std::mutex mutex_;
  std::optional<NlSocket> socket_;
  std::map<std::string, Entry> tables_;
};

}  // namespace crisp::cni
