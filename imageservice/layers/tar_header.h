// One 512-byte tar header block: ustar, old V7 and GNU. Source: POSIX.1-2017 pax, GNU tar manual
// "Basic Tar Format".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "imageservice/layers/outcome.h"

namespace crisp::image {

inline constexpr size_t kTarBlock = 512;

struct TarHeader {
  std::string name, link;  // prefix already joined
  int64_t mode = 0, uid = 0, gid = 0, size = 0, mtime = 0;
  char type = '0';
};

bool IsZeroBlock(const char* block);

// Octal with blanks around it, or base-256 (first bit set). False: neither, or beyond int64.
bool ParseTarNumber(std::string_view field, int64_t* value);

// Checks magic and checksum.
Outcome ParseTarHeader(const char* block, TarHeader* header);

}  // namespace crisp::image
