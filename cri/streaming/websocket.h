// Frames of RFC 6455, the server's side. Messages pass through in pieces, as they come.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::streaming {

// A frame's payload passes through and costs no memory; the limit only catches nonsense lengths.
inline constexpr uint64_t kMaxWebSocketFrame = 16 << 20;

enum class Opcode : uint8_t {
  kContinue = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10
};

class MessageSink {
 public:
  virtual ~MessageSink() = default;
  virtual void OnMessageStart() = 0;
  // How many were taken; fewer than all: come again later.
  virtual size_t OnMessageBytes(absl::string_view bytes) = 0;
  virtual void OnMessageEnd() = 0;
  virtual bool full() const = 0;  // asked between messages
};

class WebSocketReader {
 public:
  // Answers to ping and close are appended to `out`; an error has put its close frame there.
  StatusOr<size_t> Consume(absl::string_view bytes, MessageSink* sink, std::string* out);
  bool client_left() const { return closed_; }

 private:
  Status Head(MessageSink* sink, std::string* out);
  Status CheckHead(std::string* out);
  size_t HeadSize() const;
  size_t Payload(absl::string_view bytes, MessageSink* sink);
  Status EndFrame(MessageSink* sink, std::string* out);
  bool control() const { return (opcode_ & 8) != 0; }

  std::string head_;
  bool in_payload_ = false, in_message_ = false, fin_ = false, closed_ = false;
  uint8_t opcode_ = 0;
  uint64_t left_ = 0;
  unsigned char mask_[4] = {};
  size_t mask_at_ = 0;
  std::string control_;  // payload of ping, pong, close: 125 bytes at most
};

std::string WebSocketHead(Opcode opcode, size_t length);  // then `length` bytes, unmasked
std::string WebSocketClose(uint16_t code);

}  // namespace crisp::streaming
