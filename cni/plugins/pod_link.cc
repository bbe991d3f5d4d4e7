#include "cni/plugins/pod_link.h"

#include <fcntl.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_format.h"
#include "cni/builtin/netns.h"
#include "cni/netlink/nft.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"

namespace crisp::cni {
namespace {

Status RefuseRouterAdvertisements() {
  for (const char* scope : {"all", "default"}) {
    const Status status = WriteControlFile(
        AT_FDCWD, absl::StrCat("/proc/sys/net/ipv6/conf/", scope, "/accept_ra"), "0");
    if (!status.ok() && ErrnoOf(status) != ENOENT && ErrnoOf(status) != EROFS) return status;
  }
  return absl::OkStatus();
}

StatusOr<UniqueFd> OpenNetnsFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open network namespace ", path);
  return fd;
}

}  // namespace

StatusOr<PodNetns> OpenPodNetns(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenNetnsFile(path));
  RETURN_IF_ERROR(RunInNetns(fd.get(), RefuseRouterAdvertisements));
  ASSIGN_OR_RETURN(NlSocket route, OpenRouteSocketIn(fd.get()));
  return PodNetns{std::move(fd), std::move(route)};
}

Status DeletePodLink(const PluginRequest& request) {
  if (request.netns.empty()) return absl::OkStatus();
  const StatusOr<UniqueFd> fd = OpenNetnsFile(request.netns);
  if (absl::IsNotFound(fd.status())) return absl::OkStatus();
  RETURN_IF_ERROR(fd.status());
  StatusOr<NlSocket> route = OpenRouteSocketIn(fd->get());
  // A pin whose namespace is gone is a plain file.
  if (ErrnoOf(route.status()) == EINVAL) return absl::OkStatus();
  RETURN_IF_ERROR(route.status());
  NlBatch batch;
  AppendDeleteLink(batch, request.ifname);
  const Status status = route->Transact(batch, absl::StrCat("delete ", request.ifname));
  return ErrnoOf(status) == ENODEV ? absl::OkStatus() : status;
}

Status CheckPodLink(const PluginRequest& request) {
  ASSIGN_OR_RETURN(const AddResult expected, ParseAddResult(request.previous));
  ASSIGN_OR_RETURN(PodNetns pod, OpenPodNetns(request.netns));
  ASSIGN_OR_RETURN(const Link link, GetLink(pod.route, request.ifname));
  ASSIGN_OR_RETURN(const std::vector<LinkAddress> addresses, ListAddresses(pod.route));
  for (const PluginIp& ip : expected.ips) {
    const bool found =
        std::any_of(addresses.begin(), addresses.end(), [&](const LinkAddress& address) {
          return address.index == link.index && address.prefix.ip == ip.address.ip;
        });
    if (!found)
      return absl::NotFoundError(
          absl::StrCat(request.ifname, " has not the address ", ip.address.ToString()));
  }
  return absl::OkStatus();
}

std::string NewVethName() { return absl::StrCat("veth", RandomHex(8)); }

std::string PluginTableName(const std::string& name, const std::vector<IpPrefix>& subnets) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const IpPrefix& subnet : subnets)
    for (const char c : subnet.ToString()) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return absl::StrFormat("crisp_%s_%08x", name, static_cast<uint32_t>(hash ^ (hash >> 32)));
}

Status EnsureMasquerade(const std::string& name, const std::vector<IpPrefix>& subnets,
                        bool masquerade) {
  NftTable table;
  table.name = PluginTableName(name, subnets);
  table.subnets = subnets;
  if (masquerade) table.masquerade = subnets;
  ASSIGN_OR_RETURN(NlSocket socket, NlSocket::Open(NETLINK_NETFILTER));
  return CreateNftTable(socket, table);
}

std::vector<IpPrefix> SubnetsOf(const AddResult& result) {
  std::vector<IpPrefix> subnets;
  for (const PluginIp& ip : result.ips) {
    const IpPrefix subnet{ip.address.Masked(), ip.address.length};
    if (std::find(subnets.begin(), subnets.end(), subnet) == subnets.end())
      subnets.push_back(subnet);
  }
  return subnets;
}

}  // namespace crisp::cni
