// What only /proc tells about a pidfd. Bare world: no stdio, no heap.
#pragma once

#include <sys/types.h>

namespace crisp::keeper {

// The process a pidfd refers to, by the "Pid:" line of its fdinfo; the descriptor is looked up in
// the table of thread `tid` of this process (0: the main thread's). -1: reaped, or no pidfd.
pid_t PidOfPidfd(pid_t tid, int pidfd);

// Exit status of a zombie that somebody else has still to reap: field 52 of /proc/PID/stat. Returns
// 0 or errno (ESRCH: no zombie).
int ZombieStatus(pid_t pid, int* wait_status);

// Field 52 of the text of a stat file, if its state is Z. Pure, for tests.
int ParseZombieStat(const char* text, int* wait_status);

}  // namespace crisp::keeper
