#include "cri/cli/ws_frames.h"

namespace crisp::cli {
namespace {

constexpr size_t kMaxMessage = 4 << 20;
constexpr uint8_t kLast = 0x80, kReserved = 0x70, kMasked = 0x80;

void AppendNumber(uint64_t number, int bytes, std::string* text) {
  for (int i = bytes - 1; i >= 0; --i) text->push_back(static_cast<char>(number >> (8 * i)));
}

uint64_t ReadNumber(absl::string_view bytes) {
  uint64_t number = 0;
  for (const char c : bytes) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

}  // namespace

std::string WsFrame(WsOpcode opcode, absl::string_view data, uint32_t mask) {
  std::string frame(1, static_cast<char>(kLast | opcode));
  if (data.size() < 126) {
    frame.push_back(static_cast<char>(kMasked | data.size()));
  } else if (data.size() < 65536) {
    frame.push_back(static_cast<char>(kMasked | 126));
    AppendNumber(data.size(), 2, &frame);
  } else {
    frame.push_back(static_cast<char>(kMasked | 127));
    AppendNumber(data.size(), 8, &frame);
  }
  AppendNumber(mask, 4, &frame);
  for (size_t i = 0; i < data.size(); ++i) {
    const auto key = static_cast<uint8_t>(mask >> (8 * (3 - i % 4)));
    frame.push_back(static_cast<char>(static_cast<uint8_t>(data[i]) ^ key));
  }
  return frame;
}

Status WsReader::Feed(absl::string_view bytes, std::vector<WsMessage>* messages) {
  buffer_.append(bytes.data(), bytes.size());
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, Next(messages));
    if (!more) return absl::OkStatus();
  }
}

StatusOr<bool> WsReader::Next(std::vector<WsMessage>* messages) {
  if (buffer_.size() < 2) return false;
  const auto first = static_cast<uint8_t>(buffer_[0]);
  const auto second = static_cast<uint8_t>(buffer_[1]);
  if ((first & kReserved) != 0 || (second & kMasked) != 0)
    return absl::DataLossError("the server sent a bad WebSocket frame");
  size_t head = 2;
  uint64_t size = second & 0x7f;
  if (size >= 126) {
    const size_t bytes = size == 126 ? 2 : 8;
    if (buffer_.size() < head + bytes) return false;
    size = ReadNumber(absl::string_view(buffer_).substr(head, bytes));
    head += bytes;
  }
  if (size > kMaxMessage) return absl::DataLossError("the server sent too long a WebSocket frame");
  if (buffer_.size() < head + size) return false;
  const absl::string_view data = absl::string_view(buffer_).substr(head, size);
  RETURN_IF_ERROR(Frame(first & 0x0f, (first & kLast) != 0, data, messages));
  buffer_.erase(0, head + size);
  return true;
}

// Control frames may come between the fragments of a message.
Status WsReader::Frame(uint8_t opcode, bool last, absl::string_view data,
                       std::vector<WsMessage>* messages) {
  if (opcode >= kWsClose) {
    messages->push_back({opcode, std::string(data)});
    return absl::OkStatus();
  }
  if (opcode != 0) partial_ = {opcode, ""};
  if (partial_.opcode == 0 || partial_.data.size() + data.size() > kMaxMessage)
    return absl::DataLossError("the server sent a bad WebSocket message");
  partial_.data.append(data.data(), data.size());
  if (!last) return absl::OkStatus();
  messages->push_back(std::move(partial_));
  partial_ = {};
  return absl::OkStatus();
}

}  // namespace crisp::cli
