// An exec: from the stub's clone to execve inside the container.
#pragma once

#include "runtime/init/child.h"

namespace crisp::init {

// Shared by launcher and stub, not by the process in the container.
struct ExecShared {
  pid_t pid = 0;  // stored by the kernel when the process in the container is made
};

// What the pipe carries is foreign: who may ptrace the new process may forge it. It is only shown.
using ExecReport = Report;

// Does not return.
[[noreturn]] void RunExecStub(Child& child, ExecShared* shared);

}  // namespace crisp::init
