// Readers of an image's /etc/passwd and /etc/group. The files are hostile: pure functions over a
// bounded text, no NSS, a malformed line counts as absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::runtime {

inline constexpr size_t kMaxDatabaseBytes = 1 << 20;
inline constexpr size_t kMaxDatabaseLine = 64 << 10;
// 2^32-1 means "no change" to setuid(2) and its kin.
inline constexpr int64_t kMaxId = 4294967294;

// Decimal digits only: no sign, space, leading zero or overflow (CVE-2024-40635: an overflow that
// falls back to a name gave uid 0).
std::optional<uint32_t> ParseId(absl::string_view text);

// A name of passwd(5)'s portable kind. What begins with a digit or sign is a number or an error,
// never a name.
bool IsUserName(absl::string_view text);

struct PasswdEntry {
  std::string name;
  uint32_t uid = 0, gid = 0;
  std::string home;
};

// The first entry wins, as in libc. RESOURCE_EXHAUSTED for a text or line beyond the limits.
StatusOr<std::optional<PasswdEntry>> FindPasswdByName(absl::string_view text,
                                                      absl::string_view name);
StatusOr<std::optional<PasswdEntry>> FindPasswdByUid(absl::string_view text, uint32_t uid);
StatusOr<std::optional<uint32_t>> FindGroupByName(absl::string_view text, absl::string_view name);
// The groups that list `user` as a member.
StatusOr<std::vector<uint32_t>> GroupsOfMember(absl::string_view text, absl::string_view user);

// A file below `rootfs`; empty when it does not exist. Anything but a regular file within the limit
// is refused, without ever opening a FIFO or device.
StatusOr<std::string> ReadDatabase(int rootfs, const char* path);

}  // namespace crisp::runtime
