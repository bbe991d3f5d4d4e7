#include "cni/builtin/live_network.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"

namespace crisp::cni {
namespace {

constexpr char kPrefix[] = "cr";
constexpr size_t kRandomDigits = 10;  // with the prefix 12 of the 15 characters of a link's name

size_t RangeSize(const AddressRange& range, size_t limit) {
  size_t size = 0;
  for (IpAddr ip = range.first; size < limit; ip = Plus(ip, 1)) {
    size += !(ip == range.gateway);
    if (ip == range.last) break;
  }
  return size;
}

}  // namespace

std::string NewCableName() { return absl::StrCat(kPrefix, RandomHex(kRandomDigits)); }

std::string CableAlias(const std::string& tag, const std::vector<IpAddr>& ips) {
  return absl::StrCat("crisp ", tag, " ",
                      absl::StrJoin(ips, ",", [](std::string* out, const IpAddr& ip) {
                        absl::StrAppend(out, ip.ToString());
                      }));
}

std::optional<std::vector<IpAddr>> CableAddresses(const Link& link, const std::string& tag) {
  absl::string_view rest = link.alias;
  if (!absl::StartsWith(link.name, kPrefix) || link.kind != "veth" ||
      !absl::ConsumePrefix(&rest, absl::StrCat("crisp ", tag, " ")))
    return std::nullopt;
  std::vector<IpAddr> ips;
  for (const absl::string_view text : absl::StrSplit(rest, ',')) {
    const StatusOr<IpAddr> ip = ParseIp(text);
    if (ip.ok()) ips.push_back(*ip);
  }
  return ips;
}

std::string TableName(const std::string& bridge) { return absl::StrCat("crisp_", bridge); }

Status LiveNetwork::Prepare() {
  const std::lock_guard<std::mutex> lock(host_mutex_);
  if (!host_) {
    ASSIGN_OR_RETURN(NlSocket socket, NlSocket::Open(NETLINK_ROUTE));
    host_.emplace(std::move(socket));
  }
  ASSIGN_OR_RETURN(const Link bridge, EnsureBridge(*host_, config_));
  bridge_index_ = bridge.index;
  // Pods still reach each other and the node without it.
  warning_ = std::string(EnableForwarding(config_).message());
  NftTable table;
  table.name = TableName(config_.bridge);
  table.subnets = config_.Subnets();
  if (config_.masquerade) table.masquerade = table.subnets;
  if (config_.publish_ports && config_.HasFamily(AF_INET)) table.bridge = config_.bridge;
  if (config_.masquerade || config_.publish_ports) RETURN_IF_ERROR(tables_->Install(table));
  return absl::OkStatus();
}

Status LiveNetwork::EnsureReady() {
  const std::lock_guard<std::mutex> lock(setup_mutex_);
  if (ready_) return absl::OkStatus();
  last_status_ = Annotate(Prepare(), "set up network ", config_.name);
  ready_ = last_status_.ok();
  return last_status_;
}

void LiveNetwork::Invalidate() {
  const std::lock_guard<std::mutex> lock(setup_mutex_);
  ready_ = false;
}

Status LiveNetwork::last_status() const {
  const std::lock_guard<std::mutex> lock(setup_mutex_);
  return last_status_;
}

std::string LiveNetwork::warning() const {
  const std::lock_guard<std::mutex> lock(setup_mutex_);
  return warning_;
}

size_t LiveNetwork::Capacity() const {
  constexpr size_t kEnough = 1 << 16;
  size_t capacity = kEnough;
  for (const RangeSet& set : config_.ranges) {
    size_t size = 0;
    for (const AddressRange& range : set) size += RangeSize(range, kEnough - size);
    capacity = std::min(capacity, size);
  }
  return capacity;
}

Status LiveNetwork::Plug(NewNetns* netns, Cable* cable) {
  int bridge_index;
  {
    const std::lock_guard<std::mutex> lock(setup_mutex_);
    bridge_index = bridge_index_;
  }
  const std::lock_guard<std::mutex> lock(host_mutex_);
  return PlugCable(*host_, netns->route, netns->fd.get(), bridge_index, config_, cable);
}

StatusOr<Attachment> LiveNetwork::Make(int timeout_ms, int netns_fd) {
  RETURN_IF_ERROR(EnsureReady());
  const bool ipv6 = config_.HasFamily(AF_INET6);
  ASSIGN_OR_RETURN(NewNetns netns, netns_fd >= 0 ? AdoptNetns(netns_fd, ipv6) : MakeNetns(ipv6));
  Attachment attachment;
  ASSIGN_OR_RETURN(attachment.ips, ledger_->Take(config_, timeout_ms));
  attachment.cable.host_name = NewCableName();
  attachment.cable.alias = CableAlias(tag_, attachment.ips);
  for (const IpAddr& ip : attachment.ips)
    if (const auto address = WithSubnetLength(config_, ip))
      attachment.cable.addresses.push_back(*address);
  const Status status = Plug(&netns, &attachment.cable);
  attachment.netns = std::move(netns.fd);
  if (status.ok()) return attachment;
  // Perhaps the bridge is gone: the next one looks.
  Invalidate();
  Unmake(std::move(attachment));
  return status;
}

void LiveNetwork::Unmake(Attachment attachment) {
  attachment.netns.Reset();
  ledger_->Fence(attachment.cable.host_name, attachment.ips, AddressLedger::Due::kAfterGrace);
}

}  // namespace crisp::cni
