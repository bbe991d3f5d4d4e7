// What a runtime's streaming server sends to `crisp exec -i`: any bytes, in one piece or two, read
// the same.
#include <cstdint>
#include <cstdlib>

#include "cri/cli/stream_session.h"
#include "cri/cli/stream_socket.h"
#include "cri/cli/ws_frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  crisp::cli::WsReader whole, halves;
  std::vector<crisp::cli::WsMessage> one, two;
  const bool good = whole.Feed(bytes, &one).ok();
  const bool same = halves.Feed(bytes.substr(0, size / 2), &two).ok() &&
                    halves.Feed(bytes.substr(size / 2), &two).ok();
  if (good != same || (good && one.size() != two.size())) abort();
  (void)crisp::cli::CheckUpgrade(bytes);
  (void)crisp::cli::ParseStreamUrl(bytes);
  (void)crisp::cli::ExitCodeOfStatus(bytes);
  return 0;
}
