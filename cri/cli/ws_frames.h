// WebSocket frames as a client speaks them (RFC 6455 section 5): ours are masked, the server's are
// not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::cli {

enum WsOpcode : uint8_t { kWsText = 1, kWsBinary = 2, kWsClose = 8, kWsPing = 9, kWsPong = 10 };

struct WsMessage {
  uint8_t opcode = 0;
  std::string data;
};

// One whole message.
std::string WsFrame(WsOpcode opcode, absl::string_view data, uint32_t mask);

// Puts the server's bytes together to messages, of at most 4 MiB.
class WsReader {
 public:
  Status Feed(absl::string_view bytes, std::vector<WsMessage>* messages);

 private:
  // False: the frame is not all there.
  StatusOr<bool> Next(std::vector<WsMessage>* messages);
  Status Frame(uint8_t opcode, bool last, absl::string_view data, std::vector<WsMessage>* messages);

  std::string buffer_;
  WsMessage partial_;
};

}  // namespace crisp::cli
