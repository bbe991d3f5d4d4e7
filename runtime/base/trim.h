// What an idle daemon gives back after its start or a pull.
#pragma once

namespace crisp {

// Free heap pages, and the code and constants that this process has mapped: start-up code and TLS
// libraries stay in the page cache, counted to nobody; what is used again comes back by a minor
// fault. (Never on a platform whose libraries relocate their text; on x86-64 the linker refuses
// that.)
void GiveBackIdleMemory();

}  // namespace crisp
