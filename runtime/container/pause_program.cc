#include "runtime/container/pause_program.h"

#include <string>

#include "runtime/base/files.h"

// NOLINTNEXTLINE: bytes of a file can come into a program in no other way before C23's #embed
asm(".pushsection .rodata\n"
    ".global crisp_pause_begin\n"
    ".global crisp_pause_end\n"
    "crisp_pause_begin:\n"
    ".incbin \"" CRISP_PAUSE
    "\"\n"
    "crisp_pause_end:\n"
    ".popsection\n");

extern "C" const char crisp_pause_begin[];
extern "C" const char crisp_pause_end[];

namespace crisp::runtime {

StatusOr<UniqueFd> PauseProgram() {
  const std::string bytes(crisp_pause_begin, crisp_pause_end);
  return MakeMemfd("crisp-pause", bytes, true);
}

}  // namespace crisp::runtime
