// The ends of a container's standard streams.
#pragma once

#include <cstdint>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

struct Stdio {
  UniqueFd in, out, err;                                   // the child's; with a terminal only `in`
  UniqueFd in_write, out_read, err_read, terminal_master;  // ours
  // Exec with a terminal: `in` is the other end of this socket, and the stub, which alone is inside
  // the container, sends terminal_master over it (child_terminal.cc).
  UniqueFd terminal_socket;

  bool terminal() const { return terminal_master.valid() || terminal_socket.valid(); }
};

// Which streams an exec has; those it has not are /dev/null.
struct StreamSet {
  bool in = false, out = true, err = true;
};

// /dev/null or a pipe for stdin, pipes for the others. They belong to `uid`, so that a program may
// open /dev/stdout again.
StatusOr<Stdio> MakePipes(bool stdin_open, uint32_t uid);

StatusOr<Stdio> MakeExecPipes(const StreamSet& streams, uint32_t uid);

// Made by the exec's stub: ReceiveTerminal once it runs.
StatusOr<Stdio> MakeExecTerminal();
StatusOr<UniqueFd> ReceiveTerminal(const Stdio& stdio);

// A new terminal of the devpts instance `pts`, by descriptor alone (S4: no path of the container).
StatusOr<Stdio> MakeTerminal(int pts, bool stdin_open, uint32_t uid);

}  // namespace crisp::runtime
