#include "runtime/base/id.h"

#include <sys/random.h>

#include <cstdlib>

namespace crisp {

std::string RandomHex(size_t digits) {
  std::string bytes((digits + 1) / 2, '\0');
  // getrandom never fails once the pool is initialised, and is complete up to 256 bytes.
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = getrandom(bytes.data() + done, bytes.size() - done, 0);
    if (n > 0) done += static_cast<size_t>(n);
  }
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    hex.push_back("0123456789abcdef"[(static_cast<unsigned char>(byte) >> 4) & 15]);
    hex.push_back("0123456789abcdef"[static_cast<unsigned char>(byte) & 15]);
  }
  hex.resize(digits);
  return hex;
}

bool IsId(absl::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

}  // namespace crisp
