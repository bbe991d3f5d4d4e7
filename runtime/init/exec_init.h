// An exec: from the stub's clone to execve inside the container.
#pragma once

#include "runtime/init/stub_channel.h"

namespace crisp::init {

// Does not return.
[[noreturn]] void RunExecStub(Child& child, StubShared* shared);

}  // namespace crisp::init
