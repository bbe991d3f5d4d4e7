// What the unpacker may ask of the kernel: about 50 calls, anything else answers ENOSYS.
#pragma once

#include "imageservice/layers/outcome.h"

namespace crisp::image {

Outcome InstallSyscallFilter();

}  // namespace crisp::image
