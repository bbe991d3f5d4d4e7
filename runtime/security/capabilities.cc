#include "runtime/security/capabilities.h"

#include <sys/prctl.h>

#include <cstdint>

#include "absl/strings/match.h"

namespace crisp::runtime {
namespace {

constexpr CapSet Bit(int number) { return CapSet{1} << number; }

struct CapList {  // one of CRI's lists
  bool all = false;
  CapSet set = 0;
};

StatusOr<CapList> ParseList(absl::string_view field, const std::vector<std::string>& names) {
  CapList list;
  for (const std::string& given : names) {
    if (absl::EqualsIgnoreCase(given, "ALL")) {
      list.all = true;
      continue;
    }
    const int number = CapabilityNumber(given);
    if (number < 0) return InvalidField(field, given, "not a capability");
    list.set |= Bit(number);
  }
  return list;
}

}  // namespace

CapSet DefaultCapabilities() {
  return Bit(0) | Bit(1) | Bit(3) | Bit(4) | Bit(5) | Bit(6) | Bit(7) | Bit(8) | Bit(10) | Bit(13) |
         Bit(18) | Bit(27) | Bit(29) | Bit(31);
}

CapSet HostCapabilities() {
  static const CapSet host = [] {
    CapSet set = 0;
    for (int number = 0; number < kCapabilities; ++number) {
      if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1) set |= Bit(number);
    }
    return set;
  }();
  return host;
}

StatusOr<CapSets> ComputeCapabilities(const std::vector<std::string>& add,
                                      const std::vector<std::string>& drop,
                                      const std::vector<std::string>& ambient, bool privileged) {
  ASSIGN_OR_RETURN(const CapList added, ParseList("capabilities.add_capabilities", add));
  ASSIGN_OR_RETURN(const CapList dropped, ParseList("capabilities.drop_capabilities", drop));
  ASSIGN_OR_RETURN(const CapList raised,
                   ParseList("capabilities.add_ambient_capabilities", ambient));
  const CapSet host = HostCapabilities();
  CapSet set = DefaultCapabilities();
  if (added.all) set = host;
  if (dropped.all) set = 0;
  set = (set | added.set) & ~dropped.set;
  if (privileged) set = host;
  // What the host cannot give is left out, as runc does: the launcher could only fail.
  set &= host;
  const CapSet up = raised.all ? set : raised.set & host;
  // An ambient capability has to be permitted, so it joins the set, unless it was asked away.
  if (!privileged && (up & dropped.set) != 0) {
    return InvalidField("capabilities.add_ambient_capabilities",
                        CapabilityName(__builtin_ctzll(up & dropped.set)), "is also dropped");
  }
  set |= up;
  return CapSets{
      .bounding = set, .effective = set, .permitted = set, .inheritable = up, .ambient = up};
}

}  // namespace crisp::runtime
