// nftables by nfnetlink: one table of ours, with fixed chains and maps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cni/builtin/ip.h"
#include "cni/netlink/message.h"
#include "cni/netlink/socket.h"
#include "runtime/base/status.h"

namespace crisp::cni {

// One published port: packets to host_ip:host_port (host_ip empty: any local address) go to the
// pod.
struct PortForward {
  uint8_t protocol = 0;  // IPPROTO_TCP, _UDP, _SCTP
  uint16_t host_port = 0, pod_port = 0;
  std::optional<IpAddr> host_ip;
  IpAddr pod_ip;

  friend bool operator==(const PortForward& a, const PortForward& b) {
    return a.protocol == b.protocol && a.host_port == b.host_port && a.pod_port == b.pod_port &&
           a.host_ip == b.host_ip && a.pod_ip == b.pod_ip;
  }
};

struct NftTable {
  std::string name;                  // "crisp_cni0"
  std::vector<IpPrefix> masquerade;  // subnets whose outgoing traffic takes the node's address
  std::vector<IpPrefix> subnets;     // all pod subnets: hairpin of published ports
  // Published ports answer on 127.0.0.1 too. For that the node must set route_localnet on this
  // bridge, so what comes from it with a loopback address is dropped. "": neither.
  std::string bridge;
};

// Replaces the whole table in one transaction: at no moment is a rule missing.
Status InstallNftTable(NlSocket& socket, const NftTable& table,
                       const std::vector<PortForward>& forwards);
// Makes it if there is none of that name; leaves one that exists as it is.
Status CreateNftTable(NlSocket& socket, const NftTable& table);
Status DeleteNftTable(NlSocket& socket, const std::string& name);
// True if the table stands with all its rules (`nft flush ruleset` of somebody else takes them).
StatusOr<bool> NftTableIntact(NlSocket& socket, const NftTable& table);

// All or none. ALREADY_EXISTS if another pod has one of the ports.
Status AddPortForwards(NlSocket& socket, const std::string& table,
                       const std::vector<PortForward>& forwards);
// Missing ones are fine.
Status DeletePortForwards(NlSocket& socket, const std::string& table,
                          const std::vector<PortForward>& forwards);

}  // namespace crisp::cni
