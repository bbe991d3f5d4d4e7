#include "runtime/base/capability_names.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace crisp {
namespace {

constexpr std::array<const char*, kCapabilities> kNames = {"CHOWN",
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

}  // namespace

int CapabilityNumber(absl::string_view name) {
  if (absl::StartsWithIgnoreCase(name, "CAP_")) name.remove_prefix(4);
  for (int number = 0; number < kCapabilities; ++number) {
    if (absl::EqualsIgnoreCase(name, kNames[static_cast<size_t>(number)])) return number;
  }
  return -1;
}

std::string CapabilityName(int number) {
  if (number < 0 || number >= kCapabilities) return absl::StrCat("CAP_", number);
  return absl::StrCat("CAP_", kNames[static_cast<size_t>(number)]);
}

}  // namespace crisp
