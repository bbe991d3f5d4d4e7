// R5: the keeper and the children it forks run from a sealed memfd, so that a container that gets
// at /proc/PID/exe can overwrite no file of the host (CVE-2019-5736) and no later process.
#pragma once

namespace crisp::keeper {

// Continues in a sealed copy of the running program; returns 0 when this is one already, else
// errno.
int RunFromSealedCopy(char** argv);

}  // namespace crisp::keeper
