// Any bytes as a WebSocket client's, in each of the four ways of reading messages.
#include "cri/streaming/channels.h"
#include "cri/streaming/status_text.h"
#include "greedy_sink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::streaming;
  if (size < 2) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const auto options :
       {ChannelProtocol::Options{false, true}, {false, false}, {true, false}}) {
    ChannelProtocol whole(options), pieces(options);
    GreedySink all(SIZE_MAX), bites(1 + data[0] % 7);
    const bool good = Drive(&whole, bytes, bytes.size(), &all);
    if (Drive(&pieces, bytes, 1 + data[0], &bites) != good) abort();
    // Of base64 that turns out to be none the more has passed the smaller the pieces were.
    if (all.taken != bites.taken && (good || !options.base64)) abort();
  }
  TunnelProtocol tunnel;
  GreedySink sink(1 + data[0] % 7);
  Drive(&tunnel, bytes, 1 + data[0], &sink);
  ResizeParser resize;
  WindowSize window;
  resize.Feed(bytes);
  resize.Take(&window);
  return 0;
}
