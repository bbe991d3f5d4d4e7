// The URLs given out by Exec, Attach and PortForward. The token in one is the only secret: 256
// random bits, good once and for a minute.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "cri/streaming/session.h"

namespace crisp::streaming {

struct UrlLimits {
  size_t max_pending = 1000;
  int64_t lifetime_ns = 60'000'000'000;
};

class StreamUrls {
 public:
  explicit StreamUrls(UrlLimits limits = {}, std::function<int64_t()> now = nullptr);

  // "http://127.0.0.1:4321": from now on Register works; "" ends that.
  void SetBase(std::string base);

  // The whole URL. UNAVAILABLE while no server listens, RESOURCE_EXHAUSTED while too many wait.
  StatusOr<std::string> Register(StreamRequest request);

  // `path`: "/exec/TOKEN". Nothing for a token that is unknown, used, expired or of another kind.
  std::optional<StreamRequest> Take(absl::string_view path);

  size_t pending() const;

 private:
  struct Entry {
    StreamRequest request;
    int64_t deadline = 0;
  };
  void DropExpired();

  const UrlLimits limits_;
  const std::function<int64_t()> now_;
  mutable std::mutex mutex_;
  std::string base_;
  // By SHA-256 of the token: the time of a look-up then tells nothing about the tokens themselves.
  std::map<std::string, Entry> entries_;
};

}  // namespace crisp::streaming
