// A start by a stub: from its clone to execve.
#pragma once

#include "runtime/init/child.h"

namespace crisp::init {

// Shared by launcher and stub, not by the container's process.
struct JoinedShared {
  pid_t pid = 0;  // stored by the kernel when the process is made
};

// Does not return. The pipe carries a Report with `err` 0 when execve is about to follow, and one
// with an error if something failed; it closes at execve.
[[noreturn]] void RunJoinedStub(Child& child, JoinedShared* shared);

}  // namespace crisp::init
