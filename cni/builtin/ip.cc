#include "cni/builtin/ip.h"

#include <arpa/inet.h>

#include "absl/strings/numbers.h"

namespace crisp::cni {
namespace {

using Wide = unsigned __int128;

Wide ToNumber(const IpAddr& ip) {
  Wide number = 0;
  for (size_t i = 0; i < ip.size(); ++i) number = (number << 8) | ip.bytes[i];
  return number;
}

IpAddr FromNumber(int family, Wide number) {
  IpAddr ip;
  ip.family = family;
  for (size_t i = ip.size(); i-- > 0; number >>= 8) ip.bytes[i] = static_cast<uint8_t>(number);
  return ip;
}

Wide HostMask(const IpPrefix& prefix) {
  const int host_bits = static_cast<int>(prefix.ip.size()) * 8 - prefix.length;
  return host_bits >= 128 ? ~Wide{0} : (Wide{1} << host_bits) - 1;
}

}  // namespace

size_t IpAddr::size() const { return family == AF_INET6 ? 16 : 4; }

std::string IpAddr::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, bytes.data(), text, sizeof(text));
  return text;
}

IpAddr IpPrefix::Masked() const { return FromNumber(ip.family, ToNumber(ip) & ~HostMask(*this)); }

IpAddr IpPrefix::LastAddress() const {
  return FromNumber(ip.family, ToNumber(ip) | HostMask(*this));
}

bool IpPrefix::Contains(const IpAddr& other) const {
  return other.family == ip.family &&
         (ToNumber(other) | HostMask(*this)) == ToNumber(LastAddress());
}

bool IpPrefix::Overlaps(const IpPrefix& other) const {
  return Contains(other.Masked()) || other.Contains(Masked());
}

std::string IpPrefix::ToString() const { return absl::StrCat(ip.ToString(), "/", length); }

StatusOr<IpAddr> ParseIp(absl::string_view text) {
  IpAddr ip;
  if (text.find('\0') == absl::string_view::npos && text.size() < INET6_ADDRSTRLEN) {
    const std::string copy(text);
    for (const int family : {AF_INET, AF_INET6}) {
      ip.family = family;
      if (inet_pton(family, copy.c_str(), ip.bytes.data()) == 1) return ip;
    }
  }
  return InvalidField("address", text, "not an IP address");
}

StatusOr<IpPrefix> ParsePrefix(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return InvalidField("prefix", text, "has no \"/length\"");
  IpPrefix prefix;
  ASSIGN_OR_RETURN(prefix.ip, ParseIp(text.substr(0, slash)));
  const absl::string_view length = text.substr(slash + 1);
  const bool digits = !length.empty() && length.size() <= 3 &&
                      length.find_first_not_of("0123456789") == absl::string_view::npos;
  if (!digits || !absl::SimpleAtoi(length, &prefix.length) ||
      prefix.length > static_cast<int>(prefix.ip.size()) * 8) {
    return InvalidField("prefix", text, "bad prefix length");
  }
  return prefix;
}

StatusOr<IpPrefix> ParsePrefixOrIp(absl::string_view text) {
  if (text.find('/') != absl::string_view::npos) return ParsePrefix(text);
  IpPrefix prefix;
  ASSIGN_OR_RETURN(prefix.ip, ParseIp(text));
  prefix.length = static_cast<int>(prefix.ip.size()) * 8;
  return prefix;
}

IpAddr Plus(const IpAddr& ip, int64_t delta) {
  const __int128 wide_delta = delta;
  return FromNumber(ip.family, ToNumber(ip) + static_cast<Wide>(wide_delta));
}

}  // namespace crisp::cni
