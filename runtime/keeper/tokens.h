// What an epoll event of the keeper is about: its source and an index.
#pragma once

#include <stdint.h>

namespace crisp::keeper {

enum class Source : uint32_t { kListener, kClient, kLauncher, kPidfd, kLogs, kSignals };

constexpr uint64_t Token(Source source, uint32_t index) {
  return (uint64_t{static_cast<uint32_t>(source)} << 32) | index;
}
constexpr Source SourceOf(uint64_t token) { return static_cast<Source>(token >> 32); }
constexpr uint32_t IndexOf(uint64_t token) { return static_cast<uint32_t>(token); }

}  // namespace crisp::keeper
