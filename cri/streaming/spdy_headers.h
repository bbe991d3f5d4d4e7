// Header blocks of SPDY/3.1: one zlib stream for each direction of a connection.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "cri/streaming/protocol.h"

struct z_stream_s;

namespace crisp::streaming {

// A zip bomb costs at most one block of this size (S54).
inline constexpr size_t kMaxHeaderBlock = 16 << 10;
inline constexpr uint32_t kMaxHeaders = 64;

// Every block must pass through, also those that nobody wants: they share their history.
class HeaderInflater {
 public:
  HeaderInflater();
  ~HeaderInflater();
  StatusOr<HeaderList> Inflate(absl::string_view block);

 private:
  Status Expand(absl::string_view block, std::string* plain);
  std::unique_ptr<z_stream_s> zlib_;
};

// The name-value block as it is once inflated.
StatusOr<HeaderList> ParseHeaderBlock(absl::string_view plain);

// Ours are always empty, so a window of 2 KiB (the dictionary's) is enough: 10 KiB instead of 256.
class HeaderDeflater {
 public:
  HeaderDeflater();
  ~HeaderDeflater();
  std::string Deflate(absl::string_view plain);

 private:
  std::unique_ptr<z_stream_s> zlib_;
};

}  // namespace crisp::streaming
