// Id mappings: a user namespace as a table of numbers, and mounts that translate through it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

struct IdRange {
  uint32_t container_id = 0, host_id = 0, length = 0;
  friend bool operator==(const IdRange& a, const IdRange& b) {
    return a.container_id == b.container_id && a.host_id == b.host_id && a.length == b.length;
  }
};

struct IdMap {
  std::vector<IdRange> uids, gids;
  bool empty() const { return uids.empty() && gids.empty(); }
  friend bool operator==(const IdMap& a, const IdMap& b) {
    return a.uids == b.uids && a.gids == b.gids;
  }
};

// Both halves present, at most 340 ranges (the kernel's limit), none empty, none past 2^32 - 1, no
// id twice on either side. INVALID_ARGUMENT names `field`.
Status CheckIdMap(const std::string& field, const IdMap& map);

// A new user namespace with these mappings and nobody in it.
StatusOr<UniqueFd> MakeUserNamespace(const IdMap& map);

// The same with the pod's other namespaces, which it owns.
struct PodNamespaces {
  UniqueFd user, net, ipc, uts;  // net, uts: invalid with the host's network
};
StatusOr<PodNamespaces> MakePodNamespaces(const IdMap& map, bool own_network);

// The host's number of an id of the container; itself without a map, nullopt if it has none.
std::optional<uint32_t> HostId(const std::vector<IdRange>& ranges, uint32_t container_id);

// The detached mount `tree` (its top mount only) shows ids through `user_namespace`: what is
// `container_id` on disk is `host_id` to the kernel, so `container_id` again to who lives in such a
// namespace. FAILED_PRECONDITION when its file system cannot (tmpfs before 6.3, network ones).
Status ApplyIdMap(int tree, int user_namespace);

}  // namespace crisp::runtime
