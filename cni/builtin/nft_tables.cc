#include "cni/builtin/nft_tables.h"

#include <fcntl.h>
#include <linux/netlink.h>

#include <algorithm>

#include "runtime/base/files.h"

namespace crisp::cni {
namespace {

void Merge(const std::vector<IpPrefix>& from, std::vector<IpPrefix>* to) {
  for (const IpPrefix& prefix : from)
    if (std::find(to->begin(), to->end(), prefix) == to->end()) to->push_back(prefix);
}

// Two pods cannot have the same port of the same address; a port on all addresses takes it on each.
bool Clash(const PortForward& a, const PortForward& b) {
  return a.protocol == b.protocol && a.host_port == b.host_port &&
         a.pod_ip.family == b.pod_ip.family && (!a.host_ip || !b.host_ip || a.host_ip == b.host_ip);
}

}  // namespace

StatusOr<NlSocket*> NftTables::Socket() {
  if (!socket_) {
    ASSIGN_OR_RETURN(NlSocket socket, NlSocket::Open(NETLINK_NETFILTER));
    socket_.emplace(std::move(socket));
  }
  return &*socket_;
}

// Only while a port is published, and only with the guard rules of the table in force.
Status NftTables::RouteLoopback(Entry* entry) {
  if (!entry->table || entry->table->bridge.empty()) return absl::OkStatus();
  const bool wanted = !entry->forwards.empty();
  if (entry->loopback_routed == wanted) return absl::OkStatus();
  const std::string path =
      absl::StrCat("/proc/sys/net/ipv4/conf/", entry->table->bridge, "/route_localnet");
  const Status written = WriteControlFile(AT_FDCWD, path, wanted ? "1" : "0");
  if (written.ok()) entry->loopback_routed = wanted;
  return Annotate(written, "let published ports answer on 127.0.0.1");
}

Status NftTables::Install(const NftTable& table) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = tables_[table.name];
  NftTable merged = table;
  if (entry.table) {
    Merge(entry.table->masquerade, &merged.masquerade);
    Merge(entry.table->subnets, &merged.subnets);
  }
  ASSIGN_OR_RETURN(NlSocket * socket, Socket());
  RETURN_IF_ERROR(InstallNftTable(*socket, merged, entry.forwards));
  entry.table = merged;
  entry.loopback_routed = false;  // the bridge may be a new one
  // Everywhere but on 127.0.0.1 ports answer without it.
  RouteLoopback(&entry).IgnoreError();
  return absl::OkStatus();
}

Status NftTables::Publish(const std::string& table, const std::vector<PortForward>& forwards) {
  if (forwards.empty()) return absl::OkStatus();
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = tables_[table];
  for (const PortForward& wanted : forwards) {
    for (const PortForward& have : entry.forwards) {
      if (!Clash(wanted, have)) continue;
      return absl::AlreadyExistsError(absl::StrCat("host port ", wanted.host_port,
                                                   " is published by the pod with address ",
                                                   have.pod_ip.ToString()));
    }
  }
  ASSIGN_OR_RETURN(NlSocket * socket, Socket());
  RETURN_IF_ERROR(AddPortForwards(*socket, table, forwards));
  entry.forwards.insert(entry.forwards.end(), forwards.begin(), forwards.end());
  RouteLoopback(&entry).IgnoreError();
  return absl::OkStatus();
}

Status NftTables::Withdraw(const std::string& table, const std::vector<PortForward>& forwards) {
  if (forwards.empty()) return absl::OkStatus();
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = tables_[table];
  std::vector<PortForward>& have = entry.forwards;
  for (const PortForward& forward : forwards)
    have.erase(std::remove(have.begin(), have.end(), forward), have.end());
  RouteLoopback(&entry).IgnoreError();  // the bridge may be gone
  ASSIGN_OR_RETURN(NlSocket * socket, Socket());
  return DeletePortForwards(*socket, table, forwards);
}

void NftTables::Adopt(const std::string& table, const std::vector<PortForward>& forwards) {
  if (forwards.empty()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<PortForward>& have = tables_[table].forwards;
  have.insert(have.end(), forwards.begin(), forwards.end());
}

Status NftTables::Restore() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ASSIGN_OR_RETURN(NlSocket * socket, Socket());
  for (const auto& [name, entry] : tables_) {
    if (!entry.table) continue;
    ASSIGN_OR_RETURN(const bool intact, NftTableIntact(*socket, *entry.table));
    if (!intact) RETURN_IF_ERROR(InstallNftTable(*socket, *entry.table, entry.forwards));
  }
  return absl::OkStatus();
}

}  // namespace crisp::cni
