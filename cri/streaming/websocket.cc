#include "cri/streaming/websocket.h"

#include <algorithm>

namespace crisp::streaming {
namespace {

constexpr size_t kMaxControl = 125;
constexpr uint16_t kNormal = 1000, kProtocolError = 1002, kTooBig = 1009;

Status Fail(uint16_t code, absl::string_view why, std::string* out) {
  out->append(WebSocketClose(code));
  return absl::InvalidArgumentError(absl::StrCat("read WebSocket: ", why));
}

bool GoodCloseCode(uint16_t code) {  // RFC 6455, 7.4
  return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace

StatusOr<size_t> WebSocketReader::Consume(absl::string_view bytes, MessageSink* sink,
                                          std::string* out) {
  size_t done = 0;
  while (!closed_) {
    if (!in_payload_) {
      if (sink->full()) return done;
      while (done < bytes.size() && head_.size() < HeadSize()) head_.push_back(bytes[done++]);
      if (head_.size() < HeadSize()) return done;
      RETURN_IF_ERROR(Head(sink, out));
    }
    done += Payload(bytes.substr(done), sink);
    if (left_ != 0) return done;
    RETURN_IF_ERROR(EndFrame(sink, out));
  }
  return bytes.size();  // nothing counts after a close
}

size_t WebSocketReader::HeadSize() const {
  if (head_.size() < 2) return 2;
  const int length = head_[1] & 0x7f;
  return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + ((head_[1] & 0x80) != 0 ? 4 : 0);
}

Status WebSocketReader::Head(MessageSink* sink, std::string* out) {
  fin_ = (head_[0] & 0x80) != 0;
  opcode_ = head_[0] & 0x0f;
  left_ = head_[1] & 0x7f;
  const size_t long_length = left_ == 126 ? 2 : left_ == 127 ? 8 : 0;
  if (long_length != 0) left_ = 0;
  for (size_t i = 0; i < long_length; i++)
    left_ = left_ << 8 | static_cast<unsigned char>(head_[2 + i]);
  RETURN_IF_ERROR(CheckHead(out));
  std::copy_n(head_.end() - 4, 4, mask_);
  mask_at_ = 0;
  control_.clear();
  head_.clear();
  in_payload_ = true;
  if (!control() && !std::exchange(in_message_, true)) sink->OnMessageStart();
  return absl::OkStatus();
}

Status WebSocketReader::CheckHead(std::string* out) {
  if ((head_[0] & 0x70) != 0) return Fail(kProtocolError, "a reserved bit is set", out);
  if ((head_[1] & 0x80) == 0) return Fail(kProtocolError, "a client's frame is not masked", out);
  if (control() && (!fin_ || left_ > kMaxControl))
    return Fail(kProtocolError, "a control frame is long or in parts", out);
  if (left_ > kMaxWebSocketFrame) return Fail(kTooBig, "a frame of more than 16 MiB", out);
  switch (static_cast<Opcode>(opcode_)) {
    case Opcode::kContinue:
      if (!in_message_) return Fail(kProtocolError, "nothing to continue", out);
      break;
    case Opcode::kText:
    case Opcode::kBinary:
      if (in_message_) return Fail(kProtocolError, "a message inside a message", out);
      break;
    case Opcode::kClose:
    case Opcode::kPing:
    case Opcode::kPong:
      break;
    default:
      return Fail(kProtocolError, "an unknown opcode", out);
  }
  return absl::OkStatus();
}

// Unmasked in a buffer of its own: what the sink does not take is unmasked again when it comes
// again.
size_t WebSocketReader::Payload(absl::string_view bytes, MessageSink* sink) {
  size_t done = 0;
  char plain[8192];
  while (left_ != 0 && done < bytes.size()) {
    const size_t n = std::min({sizeof(plain), bytes.size() - done, static_cast<size_t>(left_)});
    for (size_t i = 0; i < n; i++)
      plain[i] = static_cast<char>(bytes[done + i] ^ mask_[(mask_at_ + i) & 3]);
    size_t taken = n;
    if (control())
      control_.append(plain, n);
    else
      taken = sink->OnMessageBytes({plain, n});
    done += taken;
    left_ -= taken;
    mask_at_ += taken;
    if (taken < n) break;
  }
  return done;
}

Status WebSocketReader::EndFrame(MessageSink* sink, std::string* out) {
  in_payload_ = false;
  switch (static_cast<Opcode>(opcode_)) {
    case Opcode::kPing:
      absl::StrAppend(out, WebSocketHead(Opcode::kPong, control_.size()), control_);
      return absl::OkStatus();
    case Opcode::kPong:
      return absl::OkStatus();
    case Opcode::kClose: {
      closed_ = true;
      if (control_.empty()) {
        out->append(WebSocketHead(Opcode::kClose, 0));
        return absl::OkStatus();
      }
      if (control_.size() < 2) return Fail(kProtocolError, "a close code cut short", out);
      const auto code = static_cast<uint16_t>(static_cast<unsigned char>(control_[0]) << 8 |
                                              static_cast<unsigned char>(control_[1]));
      if (!GoodCloseCode(code)) return Fail(kProtocolError, "a bad close code", out);
      out->append(WebSocketClose(kNormal));
      return absl::OkStatus();
    }
    default:
      if (!fin_) return absl::OkStatus();
      in_message_ = false;
      sink->OnMessageEnd();
      return absl::OkStatus();
  }
}

std::string WebSocketHead(Opcode opcode, size_t length) {
  std::string head(1, static_cast<char>(0x80 | static_cast<uint8_t>(opcode)));
  const int bytes = length < 126 ? 0 : length <= 0xffff ? 2 : 8;
  head.push_back(static_cast<char>(bytes == 0 ? length : bytes == 2 ? 126 : 127));
  for (int i = bytes - 1; i >= 0; i--)
    head.push_back(static_cast<char>(static_cast<uint64_t>(length) >> (8 * i)));
  return head;
}

std::string WebSocketClose(uint16_t code) {
  return absl::StrCat(WebSocketHead(Opcode::kClose, 2),
                      std::string{static_cast<char>(code >> 8), static_cast<char>(code)});
}

}  // namespace crisp::streaming
