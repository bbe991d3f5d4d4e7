// What exec and attach say beside the streams: how it ended, and the client's window size.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::streaming {

// The last message on the error stream. Versions 4 and 5: a Status object of Kubernetes; before
// that: text, and nothing for success.
std::string EndText(const StatusOr<int>& result, int version);

struct WindowSize {
  uint16_t width = 0, height = 0;
};

// {"Width":80,"Height":25} one after the other, in pieces as they come. Only the newest counts, so
// a flood costs nothing; what is no such object is skipped.
class ResizeParser {
 public:
  void Feed(absl::string_view bytes);
  bool Take(WindowSize* size);  // true: there is a new one

 private:
  void Parse();
  std::string object_;  // from its brace on
  WindowSize size_;
  bool fresh_ = false;
};

}  // namespace crisp::streaming
