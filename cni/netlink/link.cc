#include "cni/netlink/link.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/veth.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"

namespace crisp::cni {
namespace {

constexpr size_t kMacSize = 6;

template <typename Header>
bool TakeHeader(const NlMessage& message, Header* header, absl::string_view* rest) {
  if (message.payload.size() < sizeof(Header)) return false;
  memcpy(header, message.payload.data(), sizeof(Header));
  const size_t aligned = std::min(NLMSG_ALIGN(sizeof(Header)) + size_t{0}, message.payload.size());
  *rest = message.payload.substr(aligned);
  return true;
}

std::string KindOf(absl::string_view link_info) {
  for (NlAttribute attribute; NextAttribute(&link_info, &attribute);) {
    if (attribute.type == IFLA_INFO_KIND) return ReadString(attribute.value);
  }
  return "";
}

// The host end's bridge port options; only a message that changes an existing link takes them.
void AppendPortOptions(NlBatch& batch, const VethLink& veth) {
  if (veth.master == 0 || (!veth.hairpin && !veth.isolated)) return;
  NlNest info(batch, IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_SLAVE_KIND, "bridge");
  NlNest data(batch, IFLA_INFO_SLAVE_DATA);
  if (veth.hairpin) batch.PutU8(IFLA_BRPORT_MODE, 1);
  if (veth.isolated) batch.PutU8(IFLA_BRPORT_ISOLATED, 1);
}

void AppendPeer(NlBatch& batch, const VethLink& veth) {
  NlNest info(batch, IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, "veth");
  NlNest data(batch, IFLA_INFO_DATA);
  NlNest peer(batch, VETH_INFO_PEER);
  const ifinfomsg header{};
  batch.PutStruct(&header, sizeof(header));
  batch.PutString(IFLA_IFNAME, veth.peer_name);
  batch.PutU32(IFLA_NET_NS_FD, static_cast<uint32_t>(veth.peer_netns_fd));
  if (!veth.peer_mac.empty()) batch.PutBytes(IFLA_ADDRESS, veth.peer_mac);
  if (veth.mtu != 0) batch.PutU32(IFLA_MTU, veth.mtu);
}

void AppendChangeLink(NlBatch& batch, const std::string& name, uint32_t flags) {
  ifinfomsg header{};
  header.ifi_flags = flags;
  header.ifi_change = flags;
  batch.Begin(RTM_NEWLINK, 0, header);
  batch.PutString(IFLA_IFNAME, name);
}

// A bridge port needs no address of its own; with it come address detection and multicast joins.
void AppendNoLinkLocal(NlBatch& batch) {
  NlNest spec(batch, IFLA_AF_SPEC);
  NlNest inet6(batch, AF_INET6);
  batch.PutU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
}

ifaddrmsg AddressHeader(int link_index, const IpPrefix& address) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.ip.family);
  header.ifa_prefixlen = static_cast<uint8_t>(address.length);
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  header.ifa_index = static_cast<uint32_t>(link_index);
  if (address.ip.family == AF_INET6) header.ifa_flags = IFA_F_NODAD;
  return header;
}

// Entries may be missing from a dump during which something changed: once more. A node where
// something always changes gets the last try.
template <typename Header>
Status Dump(NlSocket& socket, uint16_t type, const Header& header, absl::string_view what,
            const std::function<void()>& start, const std::function<void(const NlMessage&)>& each) {
  constexpr int kTries = 8;
  Status status;
  for (int i = 0; i < kTries; ++i) {
    start();
    NlBatch request;
    request.Begin(type, NLM_F_DUMP, header);
    status = socket.Query(request, what, each);
    if (!absl::IsAborted(status)) return status;
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<Link> ParseLink(const NlMessage& message) {
  ifinfomsg header;
  absl::string_view rest;
  const uint16_t type = message.header.nlmsg_type;
  if (type != RTM_NEWLINK && type != RTM_DELLINK) return std::nullopt;
  if (!TakeHeader(message, &header, &rest)) return std::nullopt;
  Link link;
  link.index = header.ifi_index;
  link.family = header.ifi_family;
  link.flags = header.ifi_flags;
  for (NlAttribute attribute; NextAttribute(&rest, &attribute);) {
    if (attribute.type == IFLA_IFNAME) link.name = ReadString(attribute.value);
    if (attribute.type == IFLA_IFALIAS) link.alias = ReadString(attribute.value);
    if (attribute.type == IFLA_MASTER) link.master = static_cast<int>(ReadU32(attribute.value));
    if (attribute.type == IFLA_MTU) link.mtu = ReadU32(attribute.value);
    if (attribute.type == IFLA_ADDRESS && attribute.value.size() == kMacSize)
      link.mac = std::string(attribute.value);
    if (attribute.type == IFLA_LINKINFO) link.kind = KindOf(attribute.value);
  }
  return link;
}

std::optional<LinkAddress> ParseLinkAddress(const NlMessage& message) {
  ifaddrmsg header;
  absl::string_view rest;
  if (message.header.nlmsg_type != RTM_NEWADDR) return std::nullopt;
  if (!TakeHeader(message, &header, &rest)) return std::nullopt;
  if (header.ifa_family != AF_INET && header.ifa_family != AF_INET6) return std::nullopt;
  LinkAddress address;
  address.index = static_cast<int>(header.ifa_index);
  address.prefix.ip.family = header.ifa_family;
  if (header.ifa_prefixlen > address.prefix.ip.size() * 8) return std::nullopt;
  address.prefix.length = header.ifa_prefixlen;
  bool found = false, local = false;
  for (NlAttribute attribute; NextAttribute(&rest, &attribute);) {
    // IFA_LOCAL wins: on a point-to-point link IFA_ADDRESS is the other end.
    const bool is_local = attribute.type == IFA_LOCAL;
    if ((!is_local && attribute.type != IFA_ADDRESS) || (local && !is_local)) continue;
    if (attribute.value.size() != address.prefix.ip.size()) continue;
    memcpy(address.prefix.ip.bytes.data(), attribute.value.data(), attribute.value.size());
    found = true;
    local = is_local;
  }
  if (!found) return std::nullopt;
  return address;
}

StatusOr<Link> GetLink(NlSocket& socket, const std::string& name) {
  NlBatch request;
  request.Begin(RTM_GETLINK, 0, ifinfomsg{});
  request.PutString(IFLA_IFNAME, name);
  std::optional<Link> found;
  const Status status = socket.Query(request, absl::StrCat("look up link ", name),
                                     [&](const NlMessage& message) { found = ParseLink(message); });
  if (ErrnoOf(status) == ENODEV || (status.ok() && !found))
    return absl::NotFoundError(absl::StrCat("link ", name, " does not exist"));
  RETURN_IF_ERROR(status);
  return *found;
}

StatusOr<std::vector<Link>> ListLinks(NlSocket& socket) {
  std::vector<Link> links;
  RETURN_IF_ERROR(Dump(
      socket, RTM_GETLINK, ifinfomsg{}, "list links", [&] { links.clear(); },
      [&](const NlMessage& message) {
        if (const auto link = ParseLink(message)) links.push_back(*link);
      }));
  return links;
}

StatusOr<std::vector<LinkAddress>> ListAddresses(NlSocket& socket) {
  std::vector<LinkAddress> addresses;
  RETURN_IF_ERROR(Dump(
      socket, RTM_GETADDR, ifaddrmsg{}, "list addresses", [&] { addresses.clear(); },
      [&](const NlMessage& message) {
        if (const auto address = ParseLinkAddress(message)) addresses.push_back(*address);
      }));
  return addresses;
}

std::string MacText(absl::string_view mac) {
  std::string text;
  for (const char byte : mac)
    absl::StrAppendFormat(&text, "%s%02x", text.empty() ? "" : ":", static_cast<uint8_t>(byte));
  return text;
}

StatusOr<std::string> ParseMac(absl::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2 ? text[i] != ':' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i])))
      return InvalidField("mac", text, "not of the form 02:00:00:00:00:00");
    if (i % 3 != 2) digits += text[i];
  }
  if (digits.size() != 2 * kMacSize)
    return InvalidField("mac", text, "not of the form 02:00:00:00:00:00");
  return absl::HexStringToBytes(digits);
}

void AppendCreateBridge(NlBatch& batch, const BridgeLink& bridge) {
  batch.Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  batch.PutString(IFLA_IFNAME, bridge.name);
  if (!bridge.mac.empty()) batch.PutBytes(IFLA_ADDRESS, bridge.mac);
  if (bridge.mtu != 0) batch.PutU32(IFLA_MTU, bridge.mtu);
  NlNest info(batch, IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, "bridge");
  NlNest data(batch, IFLA_INFO_DATA);
  // A pod's first packet must not wait for spanning tree's 15 s, nor for multicast queries.
  batch.PutU32(IFLA_BR_FORWARD_DELAY, 0);
  batch.PutU32(IFLA_BR_STP_STATE, 0);
  batch.PutU8(IFLA_BR_MCAST_SNOOPING, 0);
}

void AppendCreateVeth(NlBatch& batch, const VethLink& veth) {
  batch.Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  batch.PutString(IFLA_IFNAME, veth.host_name);
  if (veth.master != 0) batch.PutU32(IFLA_MASTER, static_cast<uint32_t>(veth.master));
  if (veth.mtu != 0) batch.PutU32(IFLA_MTU, veth.mtu);
  AppendPeer(batch, veth);
}

void AppendFinishVeth(NlBatch& batch, const VethLink& veth, bool link_local) {
  AppendChangeLink(batch, veth.host_name, IFF_UP);
  if (!link_local) AppendNoLinkLocal(batch);
  if (!veth.alias.empty()) batch.PutString(IFLA_IFALIAS, veth.alias);
  AppendPortOptions(batch, veth);
}

void AppendDeleteLink(NlBatch& batch, const std::string& name) {
  batch.Begin(RTM_DELLINK, 0, ifinfomsg{});
  batch.PutString(IFLA_IFNAME, name);
}

void AppendSetLinkUp(NlBatch& batch, const std::string& name) {
  AppendChangeLink(batch, name, IFF_UP);
}

void AppendSetPromiscuous(NlBatch& batch, const std::string& name) {
  AppendChangeLink(batch, name, IFF_PROMISC);
}

void AppendAddAddress(NlBatch& batch, int link_index, const IpPrefix& address) {
  batch.Begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, AddressHeader(link_index, address));
  batch.PutBytes(IFA_LOCAL, address.ip.view());
  batch.PutBytes(IFA_ADDRESS, address.ip.view());
  if (address.ip.family == AF_INET && address.length < 31)
    batch.PutBytes(IFA_BROADCAST, address.LastAddress().view());
}

void AppendDeleteAddress(NlBatch& batch, int link_index, const IpPrefix& address) {
  batch.Begin(RTM_DELADDR, 0, AddressHeader(link_index, address));
  batch.PutBytes(IFA_LOCAL, address.ip.view());
}

void AppendAddRoute(NlBatch& batch, int link_index, const Route& route) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(route.destination.ip.family);
  header.rtm_dst_len = static_cast<uint8_t>(route.destination.length);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = route.on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  batch.Begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, header);
  if (route.destination.length > 0) batch.PutBytes(RTA_DST, route.destination.Masked().view());
  if (route.gateway) batch.PutBytes(RTA_GATEWAY, route.gateway->view());
  batch.PutU32(RTA_OIF, static_cast<uint32_t>(link_index));
  if (route.priority != 0) batch.PutU32(RTA_PRIORITY, route.priority);
  if (route.mtu != 0) {
    NlNest metrics(batch, RTA_METRICS);
    batch.PutU32(RTAX_MTU, route.mtu);
  }
}

}  // namespace crisp::cni
