// Would a signal reach a container's first process?
#pragma once

#include <sys/types.h>

namespace crisp::runtime {

// True while the process neither catches nor blocks nor ignores `signal`: the kernel then drops it
// for the first process of a pid namespace (kernel/signal.c, SIGNAL_UNKILLABLE). So it is right
// after a start, before the program has installed its handlers; programs that never do are ended by
// SIGKILL after the grace period. False if the process cannot be read. Source: /proc/PID/status
// SigBlk, SigIgn, SigCgt (proc(5)).
bool SignalWouldBeDropped(pid_t pid, int signal);

}  // namespace crisp::runtime
