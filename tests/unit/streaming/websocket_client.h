// Frames of a WebSocket client, for tests.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace crisp::streaming {

// `first`: FIN, reserved bits and opcode. 0x82: one binary message.
inline std::string ClientFrame(uint8_t first, const std::string& payload, bool masked = true) {
  std::string out(1, static_cast<char>(first));
  const int mask_bit = masked ? 0x80 : 0;
  const size_t n = payload.size();
  if (n < 126) {
    out.push_back(static_cast<char>(mask_bit | static_cast<int>(n)));
  } else if (n < 65536) {
    out.push_back(static_cast<char>(mask_bit | 126));
    out.push_back(static_cast<char>(n >> 8));
    out.push_back(static_cast<char>(n));
  } else {
    out.push_back(static_cast<char>(mask_bit | 127));
    for (int i = 7; i >= 0; i--) out.push_back(static_cast<char>(n >> (8 * i)));
  }
  const unsigned char mask[] = {0x12, 0x34, 0x56, 0x78};
  if (masked) out.append(reinterpret_cast<const char*>(mask), 4);
  for (size_t i = 0; i < n; i++)
    out.push_back(static_cast<char>(payload[i] ^ (masked ? mask[i % 4] : 0)));
  return out;
}

inline std::string Message(const std::string& payload) { return ClientFrame(0x82, payload); }

// "82 [...]" for each frame of the server, close frames as "close 1000".
inline std::string TakeServerFrame(std::string* bytes) {
  if (bytes->size() < 2) return "";
  const auto at = [&](size_t i) { return static_cast<unsigned char>((*bytes)[i]); };
  size_t head = 2, length = at(1) & 0x7f;
  if (length == 126) head = 4;
  if (length == 127) head = 10;
  if (bytes->size() < head) return "";
  if (head > 2) length = 0;
  for (size_t i = 2; i < head; i++) length = length << 8 | at(i);
  if (bytes->size() < head + length) return "";
  const unsigned first = at(0);
  const std::string body = bytes->substr(head, length);
  bytes->erase(0, head + length);
  if (first == 0x88)
    return absl::StrCat("close ", body.size() < 2 ? 0
                                                  : static_cast<unsigned char>(body[0]) * 256 +
                                                        static_cast<unsigned char>(body[1]));
  return absl::StrCat(absl::Hex(first), " [", body, "]");
}

inline std::vector<std::string> ServerFrames(std::string bytes) {
  std::vector<std::string> all;
  for (std::string frame = TakeServerFrame(&bytes); !frame.empty(); frame = TakeServerFrame(&bytes))
    all.push_back(frame);
  return all;
}

}  // namespace crisp::streaming
