// The first process of a container, from clone to execve.
#pragma once

#include "runtime/init/child.h"

namespace crisp::init {

// Entry of the child on its own stack; `child` is a Child. Does not return.
void RunContainerInit(void* child);

}  // namespace crisp::init
