// The CRI log line: "2006-01-02T15:04:05.999999999Z stdout F text\n". Pure: the same bytes, time
// and limits give the same lines, so a batch that was interrupted can be written again.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace crisp::keeper {

inline constexpr size_t kTimeSize = 30;                   // nanoseconds, always 9 digits, UTC
inline constexpr size_t kPrefixSize = kTimeSize + 10;     // " stdout F "
inline constexpr size_t kLineOverhead = kPrefixSize + 1;  // and '\n'

void FormatTime(int64_t unix_nanos, char out[kTimeSize]);

// How much of the unprocessed bytes can be written now: whole lines; of an unfinished line only
// full pieces of max_line, because whether the last piece is F or P is not known before the next
// byte. At the end of the stream (`final`) everything.
size_t WritableBytes(const char* data, size_t size, uint32_t max_line, bool final);

// How many bytes of a batch, as cut by WritableBytes, are whole records of together at most `raw`
// bytes of output and `formatted` bytes of log. 0: not even the first.
size_t FittingBytes(const char* data, size_t size, uint32_t max_line, uint64_t raw,
                    uint64_t formatted);

enum class LimitMark : uint32_t { kNone, kFile, kRate };
// The line that stands for dropped output; always the same for the same values.
inline constexpr size_t kMarkSize = 192;
size_t FormatMark(LimitMark mark, uint64_t limit, int64_t unix_nanos, bool is_stderr,
                  char out[kMarkSize]);

// Formats the records of one batch [data, data+size), as cut by WritableBytes.
class LineFormatter {
 public:
  LineFormatter(const char* data, size_t size, int64_t unix_nanos, bool is_stderr,
                uint32_t max_line);
  // Fills `out` with whole records (capacity >= max_line + kLineOverhead); 0 at the end.
  size_t Next(char* out, size_t capacity);
  size_t consumed() const { return position_; }

 private:
  const char* data_;
  size_t size_;
  size_t position_ = 0;
  uint32_t max_line_;
  char prefix_[kPrefixSize];
};

}  // namespace crisp::keeper
