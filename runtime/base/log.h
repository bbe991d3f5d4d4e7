// One line per event, key=value. Only cri/ and mains log: mechanism returns a Status.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace crisp {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void SetLogLevel(LogLevel level);
// "debug", "info", "warning" or "error"; false if it is none of them.
bool SetLogLevelByName(absl::string_view name);
bool LogEnabled(LogLevel level);
// Values are quoted and control characters escaped: a tenant's string cannot forge a line.
void LogLine(LogLevel level, absl::string_view message,
             std::initializer_list<std::pair<absl::string_view, std::string>> fields = {});

inline void LogDebug(absl::string_view message,
                     std::initializer_list<std::pair<absl::string_view, std::string>> fields = {}) {
  if (LogEnabled(LogLevel::kDebug)) LogLine(LogLevel::kDebug, message, fields);
}
inline void LogInfo(absl::string_view message,
                    std::initializer_list<std::pair<absl::string_view, std::string>> fields = {}) {
  LogLine(LogLevel::kInfo, message, fields);
}
inline void LogWarning(
    absl::string_view message,
    std::initializer_list<std::pair<absl::string_view, std::string>> fields = {}) {
  LogLine(LogLevel::kWarning, message, fields);
}
inline void LogError(absl::string_view message,
                     std::initializer_list<std::pair<absl::string_view, std::string>> fields = {}) {
  LogLine(LogLevel::kError, message, fields);
}

}  // namespace crisp
