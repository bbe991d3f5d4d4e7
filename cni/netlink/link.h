// Links, addresses and routes: appended to a batch, or read from the kernel's answers.
#pragma once

#include <linux/rtnetlink.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cni/builtin/ip.h"
#include "cni/netlink/message.h"
#include "cni/netlink/socket.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct Link {
  int index = 0, master = 0;
  int family = 0;  // AF_BRIDGE: a notification about a bridge port, not about the link itself
  uint32_t flags = 0, mtu = 0;
  std::string name, kind, alias, mac;  // mac: 6 raw bytes
};

struct LinkAddress {
  int index = 0;
  IpPrefix prefix;
};

// Bounded readers; nullopt for anything that is not such a message.
std::optional<Link> ParseLink(const NlMessage& message);
std::optional<LinkAddress> ParseLinkAddress(const NlMessage& message);

// NOT_FOUND when there is none.
StatusOr<Link> GetLink(NlSocket& socket, const std::string& name);
StatusOr<std::vector<Link>> ListLinks(NlSocket& socket);
StatusOr<std::vector<LinkAddress>> ListAddresses(NlSocket& socket);

// "02:00:0a:55:00:01" of 6 raw bytes, and back.
std::string MacText(absl::string_view mac);
StatusOr<std::string> ParseMac(absl::string_view text);

struct BridgeLink {
  std::string name, mac;
  uint32_t mtu = 0;
};
void AppendCreateBridge(NlBatch& batch, const BridgeLink& bridge);

struct VethLink {
  std::string host_name, peer_name, alias;
  std::string peer_mac;  // empty: the kernel's choice
  int peer_netns_fd = -1;
  int master = 0;  // 0: none
  uint32_t mtu = 0;
  bool hairpin = false, isolated = false;
};
// ONE message makes both ends, the peer inside its namespace and the host end enslaved (moving a
// finished peer costs 30 ms).
void AppendCreateVeth(NlBatch& batch, const VethLink& veth);
// What a creating message ignores, in the same send: alias and port options; then the host end goes
// up. Without `link_local` it gets no IPv6 address (EAFNOSUPPORT where the link has no IPv6 at
// all).
void AppendFinishVeth(NlBatch& batch, const VethLink& veth, bool link_local);

void AppendDeleteLink(NlBatch& batch, const std::string& name);
void AppendSetLinkUp(NlBatch& batch, const std::string& name);
void AppendSetPromiscuous(NlBatch& batch, const std::string& name);
// Duplicate address detection is left out: nobody else can have an address that we manage.
void AppendAddAddress(NlBatch& batch, int link_index, const IpPrefix& address);
void AppendDeleteAddress(NlBatch& batch, int link_index, const IpPrefix& address);

struct Route {
  IpPrefix destination;  // length 0: default route
  std::optional<IpAddr> gateway;
  bool on_link = false;  // scope link
  uint32_t mtu = 0, priority = 0;
};
void AppendAddRoute(NlBatch& batch, int link_index, const Route& route);

}  // namespace crisp::cni
