// The CRI log format: "2016-10-06T00:17:09.669794202Z stdout F the line", as the kubelet reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::cli {

struct LogLine {
  absl::string_view time, content;
  bool to_stderr = false;
  bool partial = false;  // tag P: the line goes on in the next record
};

// One record without its newline; nullopt if it is none.
std::optional<LogLine> ParseLogLine(absl::string_view record);

// Bytes of a log file, in any pieces -> text for stdout and stderr.
class LogPrinter {
 public:
  explicit LogPrinter(bool timestamps) : timestamps_(timestamps) {}
  // Appends to `out` and `err`; keeps an unfinished record for the next call.
  void Feed(absl::string_view bytes, std::string* out, std::string* err);

 private:
  void Record(absl::string_view record, std::string* out, std::string* err);

  const bool timestamps_;
  bool in_line_[2] = {false, false};  // the last record of this stream was partial
  std::string rest_;
};

// Where the last `lines` lines of the file begin.
StatusOr<int64_t> TailOffset(int fd, int64_t lines);

}  // namespace crisp::cli
