// Deterministic bytes for log tests: lines from empty to several times the limit, NULs, '\r',
// everything.
#pragma once

#include <stdint.h>

#include <string>

namespace crisp::keeper {

inline std::string PatternBytes(uint32_t seed, size_t size) {
  std::string bytes;
  bytes.reserve(size);
  uint32_t state = seed * 2654435761u + 1;
  const auto next = [&] { return state = state * 1664525u + 1013904223u, state >> 8; };
  while (bytes.size() < size) {
    // Mostly short lines, now and then one around or beyond 16384.
    size_t length = next() % 90;
    if (next() % 40 == 0) length = 16380 + next() % 9;
    if (next() % 60 == 0) length = next() % 70000;
    for (size_t i = 0; i < length && bytes.size() < size; ++i) {
      const auto byte = static_cast<char>(next());
      bytes += byte == '\n' ? '\r' : byte;
    }
    if (bytes.size() < size) bytes += '\n';
  }
  return bytes;
}

}  // namespace crisp::keeper
