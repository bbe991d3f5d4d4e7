// What crisp-keeper and the keeper of the tests share: everything but how a process is launched.
//
//   crisp-keeper --dir PATH [--exit-when-idle] [--no-exit-info] [--ready-fd N]
// PATH is a directory of ours (0700). In it: keeper.lock, held as long as the keeper lives, and
// keeper.sock. Exit codes: 0 idle, 3 another keeper holds the lock, 1 anything else (said on
// stderr).
#pragma once

#include "runtime/keeper/keeper_names.h"
#include "runtime/keeper/launchers.h"

namespace crisp::keeper {

int KeeperMain(int argc, char** argv, const LaunchFunctions& functions);

}  // namespace crisp::keeper
