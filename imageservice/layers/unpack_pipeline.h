// Compressed bytes in, a directory out, in two threads: {read, hash, decompress} and {hash, untar}.
// One thread takes 1.15 s for a 300 MB layer, two 0.7 s, three no less (libraries.md 2.2).
#pragma once

#include <cstdint>
#include <string>

#include "imageservice/layers/outcome.h"

namespace crisp::image {

struct UnpackRequest {
  std::string compression;  // "gzip", "zstd", "none"
  std::string digest;       // of the bytes that arrive
  uint64_t size = 0;        // exactly
  std::string diff_id;      // of the tar inside
  uint64_t reserve = 0;     // bytes of the file system to leave free
};

struct UnpackCounters {
  uint64_t entries = 0, bytes = 0, inodes = 0;
  bool opaque_root = false;
};

// A sign of life while it works: a newline about once a second, never blocking.
inline constexpr char kHeartbeat = '\n';

// Reads `input` to its end and unpacks into `root`. `alive` (a non-blocking descriptor) gets the
// heartbeats.
Outcome Unpack(const UnpackRequest& request, int input, int root, int alive,
               UnpackCounters* counters);

}  // namespace crisp::image
