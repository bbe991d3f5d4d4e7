#include "cni/builtin/host_local.h"

#include <sys/socket.h>

namespace crisp::cni {
namespace {

// A set larger than this is never walked whole: an IPv6 subnet has more addresses than atoms count.
constexpr int kMaxProbes = 1 << 20;

}  // namespace

StatusOr<AddressRange> MakeRange(const IpPrefix& subnet, std::optional<IpAddr> first,
                                 std::optional<IpAddr> last, std::optional<IpAddr> gateway) {
  const int bits = static_cast<int>(subnet.ip.size()) * 8;
  if (subnet.length > bits - 2)
    return InvalidField("subnet", subnet.ToString(), "too small for a gateway and a pod");
  if (!(subnet.Masked() == subnet.ip))
    return InvalidField("subnet", subnet.ToString(), "has host bits set");
  AddressRange range;
  range.subnet = subnet;
  range.gateway = gateway.value_or(Plus(subnet.ip, 1));
  range.first = first.value_or(Plus(subnet.ip, 1));
  const bool v4 = subnet.ip.family == AF_INET;
  range.last = last.value_or(v4 ? Plus(subnet.LastAddress(), -1) : subnet.LastAddress());
  for (const auto& [field, ip] : {std::pair{"rangeStart", range.first},
                                  {"rangeEnd", range.last},
                                  {"gateway", range.gateway}}) {
    if (!subnet.Contains(ip))
      return InvalidField(field, ip.ToString(), absl::StrCat("not in ", subnet.ToString()));
  }
  if (range.last < range.first)
    return InvalidField("rangeEnd", range.last.ToString(), "before rangeStart");
  return range;
}

const AddressRange* RangeOf(const RangeSet& set, const IpAddr& ip) {
  for (const AddressRange& range : set) {
    if (range.subnet.Contains(ip) && !(ip < range.first) && !(range.last < ip)) return &range;
  }
  return nullptr;
}

std::optional<IpAddr> TakeNext(const RangeSet& set, const std::optional<IpAddr>& previous,
                               const std::function<bool(const IpAddr&)>& take) {
  if (set.empty()) return std::nullopt;
  const AddressRange* begin = previous ? RangeOf(set, *previous) : nullptr;
  size_t index = begin ? static_cast<size_t>(begin - set.data()) : 0;
  // Without a previous one the walk ends where it began: after the last address of the last range.
  const IpAddr end = begin ? *previous : set.back().last;
  IpAddr ip = begin ? *previous : set.back().last;
  if (!begin) index = set.size() - 1;
  for (int probes = 0; probes < kMaxProbes; ++probes) {
    if (ip == set[index].last) {
      index = (index + 1) % set.size();
      ip = set[index].first;
    } else {
      ip = Plus(ip, 1);
    }
    if (!(ip == set[index].gateway) && take(ip)) return ip;
    if (ip == end) break;
  }
  return std::nullopt;
}

std::optional<IpAddr> AddressBook::Take(const RangeSet& set,
                                        const std::function<bool(const IpAddr&)>& elsewhere) {
  if (set.empty()) return std::nullopt;
  const IpAddr& key = set.front().first;
  std::optional<IpAddr> previous;
  if (const auto last = last_.find(key); last != last_.end()) previous = last->second;
  const std::optional<IpAddr> ip = TakeNext(set, previous, [&](const IpAddr& candidate) {
    return !InUse(candidate) && !(elsewhere && elsewhere(candidate)) && Reserve(candidate);
  });
  if (ip) last_[key] = *ip;
  return ip;
}

}  // namespace crisp::cni
