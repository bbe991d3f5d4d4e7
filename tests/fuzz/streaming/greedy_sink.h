// Takes what a client sends, sometimes only a part of it; counts.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "cri/streaming/protocol.h"

namespace crisp::streaming {

class GreedySink final : public StreamSink {
 public:
  explicit GreedySink(size_t bite) : bite_(bite) {}
  bool OnOpen(uint32_t id, const HeaderList& headers) override {
    if (headers.size() > 64) abort();
    return id % 3 != 0;
  }
  size_t OnData(uint32_t, absl::string_view bytes) override {
    if (bytes.empty()) abort();
    const size_t n = std::min(bytes.size(), bite_);
    taken += n;
    return n;
  }
  void OnEnd(uint32_t) override {}
  void OnReset(uint32_t) override {}
  size_t taken = 0;

 private:
  const size_t bite_;
};

// Feeds it like a connection does: in pieces, again while the sink takes only bites. False: it is
// against the rules.
inline bool Drive(Protocol* protocol, absl::string_view bytes, size_t piece, GreedySink* sink) {
  std::string out, input;
  while (!bytes.empty()) {
    const absl::string_view next = bytes.substr(0, piece);
    bytes.remove_prefix(next.size());
    input.append(next.data(), next.size());
    for (;;) {
      const size_t before = sink->taken;
      const auto done = protocol->Consume(input, sink, &out);
      if (!done.ok()) return false;
      if (*done > input.size()) abort();
      input.erase(0, *done);
      out.clear();
      if (input.empty() && !protocol->blocked()) break;
      if (*done == 0 && sink->taken == before) abort();  // stuck though the sink takes
    }
    if (protocol->client_left()) return true;
  }
  return true;
}

}  // namespace crisp::streaming
