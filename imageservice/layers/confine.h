// The unpacker's walls. Order matters: namespaces and the new root while still privileged, then
// limits, capabilities, no_new_privs, seccomp last.
#pragma once

#include "imageservice/layers/outcome.h"

namespace crisp::image {

// Makes the directory the only file system this process can name: own mount namespace, no /proc,
// no network. Afterwards "/" is the layer and `directory` still refers to it.
Outcome EnterLayerRoot(int directory);

// Resource limits, five capabilities, no_new_privs, the system call allow list. Threads may be
// made afterwards and inherit all of it.
Outcome DropPrivileges();

}  // namespace crisp::image
