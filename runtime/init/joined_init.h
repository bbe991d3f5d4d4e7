// A start by a stub: from its clone to execve.
#pragma once

#include "runtime/init/stub_channel.h"

namespace crisp::init {

// Does not return. The pipe carries a Report with `err` 0 when execve is about to follow, and one
// with an error if something failed; it closes at execve.
[[noreturn]] void RunJoinedStub(Child& child, StubShared* shared);

}  // namespace crisp::init
