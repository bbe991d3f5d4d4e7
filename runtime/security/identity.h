// Who a container's process is: strictly parsed numbers, or names of the image's own /etc/passwd
// and /etc/group. The files are hostile: regular files only, opened inside the root, 1 MiB and 64
// KiB a line at most; no NSS.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp::runtime {

struct Identity {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t>
      groups;              // complete setgroups(2) list, always with gid, sorted, no duplicates
  std::string home = "/";  // of the passwd entry
};

struct UserRequest {
  std::optional<int64_t> run_as_user;   // CRI, by number
  std::string run_as_username;          // CRI, by name (numeric strings are numbers)
  std::optional<int64_t> run_as_group;  // without a user: INVALID_ARGUMENT
  std::string image_user;               // image config "user[:group]"
  std::vector<int64_t> supplemental_groups;
  bool merge_image_groups = true;  // SupplementalGroupsPolicy Merge
};

// `rootfs`: fd of the container's root. Every number must be 0..4294967294, decimal, without sign
// or spaces.
StatusOr<Identity> ResolveIdentity(int rootfs, const UserRequest& request);

// The checks that need no files, for CreateContainer's early refusals.
Status ValidateUserRequest(const UserRequest& request);

}  // namespace crisp::runtime
