// The keeper's descriptors of one slot, and what it may forget when it dies.
#pragma once

#include <stdint.h>
#include <unistd.h>

#include "runtime/keeper/slot_table.h"

namespace crisp::keeper {

struct Held {
  int fd_plus_one[kRoleCount];  // 0: none, so that the zeroed array needs no touching
  uint64_t staged[2];           // size of the staging memfd
  uint64_t punched[2];          // bytes of it already given back
  uint32_t paused;              // bit per stream: not read while an attached client is behind
  uint32_t used;                // of a slot that is used: set with its descriptors
  int64_t resolve_deadline;     // monotonic: until when a foreign child's exit status is looked for

  int Get(uint32_t role) const { return fd_plus_one[role] - 1; }
  void Set(uint32_t role, int fd) {
    Close(role);
    fd_plus_one[role] = fd + 1;
  }
  void Close(uint32_t role) {
    if (fd_plus_one[role] > 0) close(fd_plus_one[role] - 1);
    fd_plus_one[role] = 0;
  }
  uint32_t Mask() const {
    uint32_t mask = 0;
    for (uint32_t role = 0; role < kRoleCount; ++role)
      if (fd_plus_one[role] > 0) mask |= 1u << role;
    return mask;
  }
};

}  // namespace crisp::keeper
