// What a client sends to the CRI socket, after the preface: in one piece, in two and byte by byte
// the verdict is the same.
#include <cstdint>
#include <cstdlib>

#include "cri/api/h2_scanner.h"

namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr crisp::H2Bounds kLow{.header_block = 100, .early_streams = 3, .resets = 3, .control = 5};

crisp::H2Abuse Scan(const uint8_t* data, size_t size, size_t piece) {
  crisp::H2Scanner scanner(kLow);
  auto abuse = scanner.Feed(reinterpret_cast<const uint8_t*>(kPreface), sizeof(kPreface) - 1, 1);
  scanner.ServerWrote();
  for (size_t at = 0; at < size; at += piece)
    abuse = scanner.Feed(data + at, at + piece < size ? piece : size - at, 1);
  return abuse;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const crisp::H2Abuse whole = Scan(data, size, size == 0 ? 1 : size);
  if (Scan(data, size, size / 2 + 1) != whole || Scan(data, size, 1) != whole) abort();
  crisp::H2Scanner bare;
  bare.Feed(data, size, 1);
  return 0;
}
