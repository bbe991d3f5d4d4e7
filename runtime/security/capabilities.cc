#include "runtime/security/capabilities.h"

#include <sys/prctl.h>

#include <array>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace crisp::runtime {
namespace {

// By number, as in <linux/capability.h>; the last one came with kernel 5.9.
constexpr std::array<const char*, 41> kNames = {"CHOWN",
                                                "DAC_OVERRIDE",
                                                "DAC_READ_SEARCH",
                                                "FOWNER",
                                                "FSETID",
                                                "KILL",
                                                "SETGID",
                                                "SETUID",
                                                "SETPCAP",
                                                "LINUX_IMMUTABLE",
                                                "NET_BIND_SERVICE",
                                                "NET_BROADCAST",
                                                "NET_ADMIN",
                                                "NET_RAW",
                                                "IPC_LOCK",
                                                "IPC_OWNER",
                                                "SYS_MODULE",
                                                "SYS_RAWIO",
                                                "SYS_CHROOT",
                                                "SYS_PTRACE",
                                                "SYS_PACCT",
                                                "SYS_ADMIN",
                                                "SYS_BOOT",
                                                "SYS_NICE",
                                                "SYS_RESOURCE",
                                                "SYS_TIME",
                                                "SYS_TTY_CONFIG",
                                                "MKNOD",
                                                "LEASE",
                                                "AUDIT_WRITE",
                                                "AUDIT_CONTROL",
                                                "SETFCAP",
                                                "MAC_OVERRIDE",
                                                "MAC_ADMIN",
                                                "SYSLOG",
                                                "WAKE_ALARM",
                                                "BLOCK_SUSPEND",
                                                "AUDIT_READ",
                                                "PERFMON",
                                                "BPF",
                                                "CHECKPOINT_RESTORE"};

constexpr CapSet Bit(int number) { return CapSet{1} << number; }

struct CapList {  // one of CRI's lists
  bool all = false;
  CapSet set = 0;
};

StatusOr<CapList> ParseList(absl::string_view field, const std::vector<std::string>& names) {
  CapList list;
  for (const std::string& given : names) {
    const std::string upper = absl::AsciiStrToUpper(given);
    absl::string_view name = upper;
    if (name == "ALL") {
      list.all = true;
      continue;
    }
    if (absl::StartsWith(name, "CAP_")) name.remove_prefix(4);
    size_t number = 0;
    while (number < kNames.size() && name != kNames[number]) ++number;
    if (number == kNames.size()) return InvalidField(field, given, "not a capability");
    list.set |= Bit(static_cast<int>(number));
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
    for (size_t number = 0; number < kNames.size(); ++number) {
      if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1) set |= Bit(static_cast<int>(number));
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

std::string CapabilityName(int number) {
  if (number < 0 || static_cast<size_t>(number) >= kNames.size()) {
    return absl::StrCat("CAP_", number);
  }
  return absl::StrCat("CAP_", kNames[static_cast<size_t>(number)]);
}

}  // namespace crisp::runtime
