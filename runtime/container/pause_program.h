// The program of runtime/pause, which is part of this one.
#pragma once

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// A sealed memfd with it.
StatusOr<UniqueFd> PauseProgram();

}  // namespace crisp::runtime
