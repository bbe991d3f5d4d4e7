// How the parts of a connection talk: bytes of the client -> Protocol (SPDY or WebSocket channels)
// -> StreamSink (an exec, forwarded ports), and back by the Protocol's writers into one buffer.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::streaming {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// What the client does to its streams. Ids: SPDY's, or the WebSocket channel's number.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual bool OnOpen(uint32_t id, const HeaderList& headers) = 0;  // false: refuse it
  // How many of the bytes were taken; fewer than all: come again later, read nothing meanwhile.
  virtual size_t OnData(uint32_t id, absl::string_view bytes) = 0;
  virtual void OnEnd(uint32_t id) = 0;
  virtual void OnReset(uint32_t id) = 0;
};

class Protocol {
 public:
  virtual ~Protocol() = default;

  // How many bytes are done with. Fewer than all, or blocked(): the sink is full. Answers of the
  // protocol itself (ping, refusals) are appended to `out`. An error is the client's: what it is
  // told stands in `out` already, the connection is to be closed.
  virtual StatusOr<size_t> Consume(absl::string_view bytes, StreamSink* sink, std::string* out) = 0;
  virtual bool blocked() const { return false; }
  virtual bool client_left() const = 0;  // it said good-bye

  // DataHead: `n` plain bytes follow from elsewhere; only where raw() says that they may.
  virtual bool raw() const = 0;
  virtual void DataHead(uint32_t id, size_t n, std::string* out) = 0;
  virtual void Data(uint32_t id, absl::string_view bytes, std::string* out) = 0;
  virtual void End(uint32_t id, std::string* out) = 0;
  virtual void Reset(uint32_t id, std::string* out) = 0;
  virtual void Ping(std::string* out) = 0;
  virtual void Bye(std::string* out) = 0;
};

}  // namespace crisp::streaming
