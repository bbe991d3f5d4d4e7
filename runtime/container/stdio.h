// The ends of a container's standard streams.
#pragma once

#include <cstdint>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

struct Stdio {
  UniqueFd in, out, err;                                   // the child's; with a terminal only `in`
  UniqueFd in_write, out_read, err_read, terminal_master;  // ours
};

// /dev/null or a pipe for stdin, pipes for the others. They belong to `uid`, so that a program may
// open /dev/stdout again.
StatusOr<Stdio> MakePipes(bool stdin_open, uint32_t uid);

// A new terminal of the devpts instance `pts`, by descriptor alone (S4: no path of the container).
StatusOr<Stdio> MakeTerminal(int pts, bool stdin_open, uint32_t uid);

}  // namespace crisp::runtime
