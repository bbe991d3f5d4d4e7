// PAX extended header records: "LENGTH KEY=VALUE\n". Only the keys that mean something to a layer
// are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imageservice/layers/outcome.h"

namespace crisp::image {

struct SparseRange {
  uint64_t offset = 0, size = 0;
};

// Bounds of hostile input (docs/design/images.md).
inline constexpr size_t kMaxPaxBytes = 1 << 20;
inline constexpr size_t kMaxXattrValue = 64 << 10;
inline constexpr size_t kMaxXattrTotal = 1 << 20;
inline constexpr size_t kMaxXattrs = 256;
inline constexpr size_t kMaxSparseRanges = 100000;

struct PaxRecords {
  std::optional<std::string> path, link;
  std::optional<int64_t> size, uid, gid, mtime;
  int64_t mtime_nanos = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  // GNU.sparse.*: 0.0 and 0.1 carry the map here, 1.0 at the start of the data.
  bool sparse = false, sparse_map_in_data = false;
  std::optional<std::string> sparse_name;
  std::optional<int64_t> sparse_real_size;
  std::vector<SparseRange> sparse_map;
};

// Decimal without sign or blanks; false beyond int64.
bool ParseDecimal(std::string_view text, int64_t* value);

Outcome ParsePax(std::string_view text, PaxRecords* records);

}  // namespace crisp::image
