// Any bytes, split anywhere, come back exactly from their log records.
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/keeper/log_format.h"

namespace {

using namespace crisp::keeper;  // NOLINT

void Replay(const std::string& records, uint32_t max_line, std::string* out) {
  for (size_t at = 0; at < records.size();) {
    const size_t end = records.find('\n', at);
    if (end == std::string::npos || end - at < kPrefixSize) abort();
    if (end - at - kPrefixSize > max_line) abort();
    out->append(records, at + kPrefixSize, end - at - kPrefixSize);
    const char tag = records[at + kPrefixSize - 2];
    if (tag == 'F') *out += '\n';
    if (tag != 'F' && tag != 'P') abort();
    at = end + 1;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const uint32_t max_line = 1 + data[0];
  const size_t step = 1 + data[1] * 3u;
  const size_t capacity = max_line + kLineOverhead + data[2];
  const std::string bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  std::string pending, replayed, buffer(capacity, '\0');
  for (size_t at = 0; at < bytes.size(); at += step) {
    pending += bytes.substr(at, step);
    const bool final = at + step >= bytes.size();
    const size_t end = WritableBytes(pending.data(), pending.size(), max_line, final);
    if (end > pending.size() || pending.size() - end > max_line) abort();
    // A limited batch ends at a record, within its limit.
    const size_t fitting = FittingBytes(pending.data(), end, max_line, size, 2 * size);
    if (fitting > end || fitting > size) abort();
    LineFormatter lines(pending.data(), end, static_cast<int64_t>(size) << 40, size % 2, max_line);
    std::string records;
    while (const size_t n = lines.Next(buffer.data(), capacity)) records.append(buffer, 0, n);
    if (lines.consumed() != end) abort();
    Replay(records, max_line, &replayed);
    pending.erase(0, end);
  }
  if (replayed != bytes) abort();
  return 0;
}
