#include "cri/cli/cri_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace crisp::cli {
namespace {

// Runtimes split lines at 16 KiB; what is much longer is no CRI log and passes through in pieces.
constexpr size_t kMaxRecord = 1 << 20;

// Takes the text before the next space off `rest`; empty if there is none.
absl::string_view Word(absl::string_view* rest) {
  const size_t space = rest->find(' ');
  if (space == absl::string_view::npos) return {};
  const absl::string_view word = rest->substr(0, space);
  rest->remove_prefix(space + 1);
  return word;
}

}  // namespace

std::optional<LogLine> ParseLogLine(absl::string_view record) {
  LogLine line;
  absl::string_view rest = record;
  line.time = Word(&rest);
  const absl::string_view stream = Word(&rest);
  // An empty line may end right after its tag: "... stdout F".
  absl::string_view tags = rest.substr(0, rest.find(' '));
  rest.remove_prefix(std::min(rest.size(), tags.size() + 1));
  if (line.time.size() < 20 || line.time[4] != '-' || line.time[10] != 'T') return std::nullopt;
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  tags = tags.substr(0, tags.find(':'));
  if (tags != "F" && tags != "P") return std::nullopt;
  line.to_stderr = stream == "stderr";
  line.partial = tags == "P";
  line.content = rest;
  return line;
}

void LogPrinter::Record(absl::string_view record, std::string* out, std::string* err) {
  const auto line = ParseLogLine(record);
  if (!line) {
    out->append(record.data(), record.size());
    out->push_back('\n');
    return;
  }
  std::string* target = line->to_stderr ? err : out;
  bool& in_line = in_line_[line->to_stderr ? 1 : 0];
  if (timestamps_ && !in_line) absl::StrAppend(target, line->time, " ");
  absl::StrAppend(target, line->content, line->partial ? "" : "\n");
  in_line = line->partial;
}

void LogPrinter::Feed(absl::string_view bytes, std::string* out, std::string* err) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const absl::string_view piece = bytes.substr(0, end);
    rest_.append(piece.data(), piece.size());
    if (end == absl::string_view::npos && rest_.size() < kMaxRecord) return;
    Record(rest_, out, err);
    rest_.clear();
    bytes.remove_prefix(std::min(bytes.size(), piece.size() + 1));
  }
}

StatusOr<int64_t> TailOffset(int fd, int64_t lines) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat log");
  char block[16384];
  int64_t seen = 0;
  for (int64_t end = info.st_size; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, end - static_cast<int64_t>(sizeof(block)));
    const ssize_t n = pread(fd, block, static_cast<size_t>(end - begin), begin);
    if (n < 0) return ErrnoStatus(errno, "read log");
    for (ssize_t i = n - 1; i >= 0; --i) {
      const bool is_last_byte = begin + i + 1 == info.st_size;
      if (block[i] == '\n' && !is_last_byte && ++seen == lines) return begin + i + 1;
    }
    end = begin;
  }
  return lines == 0 ? info.st_size : 0;
}

}  // namespace crisp::cli
