// CRC-32C (Castagnoli), as in RFC 3720: the journal's check of a record.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace crisp::cri {

uint32_t Crc32c(absl::string_view bytes);

}  // namespace crisp::cri
