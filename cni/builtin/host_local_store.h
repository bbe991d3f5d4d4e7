// The reservations of the CNI plugin host-local on disk, byte for byte in its format, so that a
// node can go from one runtime to another:
//   <dir>/<network>/<ip>                 "<container id>\r\n<ifname>"
//   <dir>/<network>/last_reserved_ip.<n> of range set n
//   <dir>/<network>/lock                 flock
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cni/builtin/host_local.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

// Holds the lock as long as it lives.
class HostLocalStore {
 public:
  static StatusOr<HostLocalStore> Open(const std::string& dir, const std::string& network);

  // The next address of the set that has no file.
  StatusOr<IpAddr> Reserve(const RangeSet& set, size_t set_number, const std::string& container_id,
                           const std::string& ifname);
  // This address; ALREADY_EXISTS if somebody has it.
  Status ReserveExactly(const IpAddr& ip, const std::string& container_id,
                        const std::string& ifname);
  Status Release(const std::string& container_id, const std::string& ifname);
  // Addresses of the attachment.
  StatusOr<std::vector<IpAddr>> Find(const std::string& container_id,
                                     const std::string& ifname) const;
  // Releases all that belong to none of the attachments.
  Status ReleaseOthers(const std::vector<std::pair<std::string, std::string>>& valid);

 private:
  HostLocalStore(UniqueFd dir, UniqueFd lock) : dir_(std::move(dir)), lock_(std::move(lock)) {}
  std::optional<IpAddr> LastReserved(size_t set_number) const;
  Status ForEach(const std::function<Status(const IpAddr&, const std::string&)>& each) const;

  UniqueFd dir_, lock_;
};

}  // namespace crisp::cni
