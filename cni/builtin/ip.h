// IP addresses and prefixes of both families as plain values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tuple>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct IpAddr {
  int family = 0;  // AF_INET, AF_INET6
  std::array<uint8_t, 16> bytes{};

  size_t size() const;  // 4 or 16
  std::string ToString() const;
  absl::string_view view() const {
    return absl::string_view(reinterpret_cast<const char*>(bytes.data()), size());
  }

  friend bool operator==(const IpAddr& a, const IpAddr& b) {
    return a.family == b.family && a.bytes == b.bytes;
  }
  friend bool operator<(const IpAddr& a, const IpAddr& b) {
    return std::tie(a.family, a.bytes) < std::tie(b.family, b.bytes);
  }
  template <typename H>
  friend H AbslHashValue(H state, const IpAddr& ip) {
    return H::combine(std::move(state), ip.family, ip.bytes);
  }
};

struct IpPrefix {
  IpAddr ip;  // the address as written; Masked() is the network
  int length = 0;

  IpAddr Masked() const;
  IpAddr LastAddress() const;  // the broadcast address of an IPv4 subnet
  bool Contains(const IpAddr& other) const;
  bool Overlaps(const IpPrefix& other) const;
  std::string ToString() const;
  friend bool operator==(const IpPrefix& a, const IpPrefix& b) {
    return a.ip == b.ip && a.length == b.length;
  }
};

StatusOr<IpAddr> ParseIp(absl::string_view text);
// "10.85.0.0/16"; the host part is kept.
StatusOr<IpPrefix> ParsePrefix(absl::string_view text);
// "10.85.0.7/16", or an address alone with the full length.
StatusOr<IpPrefix> ParsePrefixOrIp(absl::string_view text);

// The address `delta` after `ip`; wraps around within the family.
IpAddr Plus(const IpAddr& ip, int64_t delta);

}  // namespace crisp::cni
