#include "runtime/keeper/log_format.h"

#include <string.h>

namespace crisp::keeper {
namespace {

constexpr int64_t kNanosPerSecond = 1000000000;
constexpr int64_t kSecondsPerDay = 86400;

struct Date {
  int64_t year;
  unsigned month, day;
};

// Days since 1970-01-01 to the proleptic Gregorian calendar, in eras of 400 years that begin on
// 1 March (so the leap day is the last of its year). No libc: gmtime_r reads /etc/localtime.
Date DateOfDays(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * day_of_year + 2) / 153;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  const int64_t year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);
  return {year, month, day_of_year - (153 * shifted + 2) / 5 + 1};
}

void PutDigits(char* out, int count, uint64_t value) {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

size_t Min(size_t a, size_t b) { return a < b ? a : b; }

struct Record {
  size_t length;    // of its text
  size_t consumed;  // with the newline
  bool whole;       // ends with a newline
};

Record RecordAt(const char* text, size_t left, uint32_t max_line) {
  const void* newline = memchr(text, '\n', Min(left, size_t{max_line} + 1));
  const size_t length =
      newline ? static_cast<size_t>(static_cast<const char*>(newline) - text) : Min(left, max_line);
  return {length, length + (newline ? 1 : 0), newline != nullptr};
}

}  // namespace

void FormatTime(int64_t unix_nanos, char out[kTimeSize]) {
  if (unix_nanos < 0) unix_nanos = 0;  // a clock before 1970 is no reason for a broken line
  const auto nanos = static_cast<uint64_t>(unix_nanos % kNanosPerSecond);
  const int64_t seconds = unix_nanos / kNanosPerSecond;
  const auto in_day = static_cast<uint64_t>(seconds % kSecondsPerDay);
  const Date date = DateOfDays(seconds / kSecondsPerDay);
  memcpy(out, "0000-00-00T00:00:00.000000000Z", kTimeSize);
  PutDigits(out, 4, static_cast<uint64_t>(date.year));
  PutDigits(out + 5, 2, date.month);
  PutDigits(out + 8, 2, date.day);
  PutDigits(out + 11, 2, in_day / 3600);
  PutDigits(out + 14, 2, in_day / 60 % 60);
  PutDigits(out + 17, 2, in_day % 60);
  PutDigits(out + 20, 9, nanos);
}

size_t WritableBytes(const char* data, size_t size, uint32_t max_line, bool final) {
  if (final) return size;
  const void* newline = memrchr(data, '\n', size);
  size_t end = newline ? static_cast<size_t>(static_cast<const char*>(newline) - data) + 1 : 0;
  // Exactly max_line bytes wait: a newline may follow, and then they are one full line.
  while (size - end > max_line) end += max_line;
  return end;
}

size_t FittingBytes(const char* data, size_t size, uint32_t max_line, uint64_t raw,
                    uint64_t formatted) {
  size_t fitting = 0;
  uint64_t written = 0;
  while (fitting < size) {
    const Record record = RecordAt(data + fitting, size - fitting, max_line);
    written += record.length + kLineOverhead;
    if (fitting + record.consumed > raw || written > formatted) break;
    fitting += record.consumed;
  }
  return fitting;
}

size_t FormatMark(LimitMark mark, uint64_t limit, int64_t unix_nanos, bool is_stderr,
                  char out[kMarkSize]) {
  size_t used = 0;
  const auto put = [&](const char* text) {
    memcpy(out + used, text, strlen(text));
    used += strlen(text);
  };
  FormatTime(unix_nanos, out);
  used = kTimeSize;
  put(is_stderr ? " stderr F " : " stdout F ");
  put("[crisp] output is dropped: more than ");
  char digits[21];
  size_t first = sizeof(digits) - 1;
  digits[first] = '\0';
  for (uint64_t left = limit; first == sizeof(digits) - 1 || left != 0; left /= 10)
    digits[--first] = static_cast<char>('0' + left % 10);
  put(digits + first);
  put(mark == LimitMark::kFile ? " bytes in this log file\n" : " bytes in a second\n");
  return used;
}

LineFormatter::LineFormatter(const char* data, size_t size, int64_t unix_nanos, bool is_stderr,
                             uint32_t max_line)
    : data_(data), size_(size), max_line_(max_line) {
  FormatTime(unix_nanos, prefix_);
  memcpy(prefix_ + kTimeSize, is_stderr ? " stderr F " : " stdout F ", kPrefixSize - kTimeSize);
}

size_t LineFormatter::Next(char* out, size_t capacity) {
  size_t used = 0;
  while (position_ < size_) {
    const char* text = data_ + position_;
    const auto [length, consumed, whole] = RecordAt(text, size_ - position_, max_line_);
    if (used + length + kLineOverhead > capacity) break;
    memcpy(out + used, prefix_, kPrefixSize);
    if (!whole) out[used + kPrefixSize - 2] = 'P';
    memcpy(out + used + kPrefixSize, text, length);
    used += kPrefixSize + length;
    out[used++] = '\n';
    position_ += consumed;
  }
  return used;
}

}  // namespace crisp::keeper
