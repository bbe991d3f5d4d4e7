// Any bytes as a SPDY client's: no crash, nothing stuck, the same bytes through in whole and in
// pieces. The first byte: the size of the pieces.
#include "cri/streaming/spdy.h"
#include "greedy_sink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::streaming;
  if (size < 2) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  SpdyProtocol whole, pieces;
  GreedySink all(SIZE_MAX), bites(1 + data[0] % 7);
  Drive(&whole, bytes, bytes.size(), &all);
  Drive(&pieces, bytes, 1 + data[0], &bites);
  if (all.taken != bites.taken) abort();
  (void)ParseHeaderBlock(bytes);
  return 0;
}
