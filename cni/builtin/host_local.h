// The host-local address plan of the CNI plugin of that name: ranges of a subnet, given out in
// turn.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "cni/builtin/ip.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct AddressRange {
  IpPrefix subnet;
  IpAddr first, last, gateway;  // inclusive; the gateway is never given out
};
// A pod gets one address of each set; a set can consist of several ranges.
using RangeSet = std::vector<AddressRange>;

// Fills what is not given: the whole subnet, its first address as the gateway. Refuses a subnet
// without two usable addresses, and bounds outside it.
StatusOr<AddressRange> MakeRange(const IpPrefix& subnet, std::optional<IpAddr> first,
                                 std::optional<IpAddr> last, std::optional<IpAddr> gateway);

const AddressRange* RangeOf(const RangeSet& set, const IpAddr& ip);

// Offers addresses to `take` in turn, beginning after `previous`, until one is taken.
std::optional<IpAddr> TakeNext(const RangeSet& set, const std::optional<IpAddr>& previous,
                               const std::function<bool(const IpAddr&)>& take);

// Which addresses are in use, in memory. Not locked.
class AddressBook {
 public:
  // `elsewhere` says that somebody else has the address. Freed addresses come back as late as
  // possible: peers' ARP caches and conntrack entries still mean their former owner.
  std::optional<IpAddr> Take(const RangeSet& set,
                             const std::function<bool(const IpAddr&)>& elsewhere = nullptr);
  bool Reserve(const IpAddr& ip) { return used_.insert(ip).second; }
  void Free(const IpAddr& ip) { used_.erase(ip); }
  bool InUse(const IpAddr& ip) const { return used_.count(ip) > 0; }
  size_t size() const { return used_.size(); }

 private:
  std::set<IpAddr> used_;
  std::map<IpAddr, IpAddr> last_;  // by the first address of the set
};

}  // namespace crisp::cni
