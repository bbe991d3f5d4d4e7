// A socket path that belongs to one daemon at a time.
#pragma once

#include <sys/types.h>

#include <string>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp {

// Takes PATH.lock (flock, held as long as the returned fd lives) and removes the socket that a dead
// daemon left. Refused: another daemon holds the lock or answers at PATH, PATH is no socket, or it
// is too long for sockaddr_un. The parent directory is made (0711) if it is missing.
StatusOr<UniqueFd> ClaimSocketPath(const std::string& path);

// A listening stream socket at a claimed path; never reachable with a wider mode than `mode`.
StatusOr<UniqueFd> ListenUnix(const std::string& path, mode_t mode, int backlog);

}  // namespace crisp
