// File names in the keeper's directory.
#pragma once

namespace crisp::keeper {

inline constexpr char kSocketName[] = "keeper.sock";
inline constexpr char kLockName[] = "keeper.lock";
inline constexpr int kExitLocked = 3;  // exit code: another keeper holds the lock

}  // namespace crisp::keeper
