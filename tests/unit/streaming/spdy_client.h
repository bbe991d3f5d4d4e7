// The client's side of SPDY/3.1, for tests: makes frames, right ones and wrong ones.
#pragma once

#include <string>
#include <vector>

#include "cri/streaming/protocol.h"

struct z_stream_s;

namespace crisp::streaming {

std::string Be32(uint32_t number);

// Braces evaluate from left to right, as header blocks that share their history must be made.
inline std::string InOrder(std::initializer_list<std::string> parts) {
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}
std::string HeaderBlock(const HeaderList& headers);  // not deflated

class SpdyClient {
 public:
  SpdyClient();
  ~SpdyClient();
  std::string Deflate(absl::string_view plain);
  std::string Syn(uint32_t id, const HeaderList& headers, uint8_t flags = 0);
  std::string SynWithBlock(uint32_t id, absl::string_view deflated, uint8_t flags = 0);
  static std::string Control(uint16_t type, absl::string_view body, uint8_t flags = 0);
  static std::string Data(uint32_t id, absl::string_view bytes, bool fin = false);

 private:
  z_stream_s* zlib_;
};

// A frame of the server: "SYN_REPLY 1", "DATA 3 [hello]", "DATA 3 FIN", "RST 1 5", "PING 1",
// "GOAWAY 5 0". Cuts it off `bytes`; "" if it is not whole.
std::string TakeFrame(std::string* bytes);
std::vector<std::string> Frames(std::string bytes);

}  // namespace crisp::streaming
