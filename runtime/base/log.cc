#include "runtime/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace crisp {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};

constexpr size_t kMaxLine = 4096;

struct LevelText {
  const char* name;
  const char* journald;  // priority prefix of sd-daemon(3)
};
constexpr LevelText kLevels[] = {
    {"debug", "<7>"}, {"info", "<6>"}, {"warning", "<4>"}, {"error", "<3>"}};

}  // namespace

void SetLogLevel(LogLevel level) { g_level = level; }

bool SetLogLevelByName(absl::string_view name) {
  for (size_t i = 0; i < std::size(kLevels); ++i) {
    if (name == kLevels[i].name) {
      SetLogLevel(static_cast<LogLevel>(i));
      return true;
    }
  }
  return false;
}

bool LogEnabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void LogLine(LogLevel level, absl::string_view message,
             std::initializer_list<std::pair<absl::string_view, std::string>> fields) {
  if (!LogEnabled(level)) return;
  static const bool journald = getenv("JOURNAL_STREAM") != nullptr;
  const LevelText& text = kLevels[static_cast<size_t>(level)];
  std::string line;
  if (journald) {
    absl::StrAppend(&line, text.journald);
  } else {
    absl::StrAppend(
        &line, "time=", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone()),
        " level=", text.name, " ");
  }
  absl::StrAppend(&line, "msg=\"", absl::CEscape(message), "\"");
  for (const auto& [key, value] : fields)
    absl::StrAppend(&line, " ", key, "=\"", absl::CEscape(value), "\"");
  if (line.size() > kMaxLine) line.resize(kMaxLine);
  line.push_back('\n');
  // One write a line, so that lines of several threads do not mix.
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace crisp
