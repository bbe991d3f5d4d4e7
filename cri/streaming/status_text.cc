#include "cri/streaming/status_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace crisp::streaming {
namespace {

constexpr size_t kMaxResizeObject = 256;
constexpr size_t kMaxMessage = 4096;

// ASCII as it is, the rest of an error's text replaced: it may hold a container's bytes.
std::string JsonText(absl::string_view text) {
  std::string out = "\"";
  for (const unsigned char c : text.substr(0, kMaxMessage)) {
    if (c == '"' || c == '\\')
      absl::StrAppend(&out, "\\", absl::string_view(reinterpret_cast<const char*>(&c), 1));
    else if (c == '\n')
      out += "\\n";
    else
      out.push_back(c < 0x20 || c > 0x7e ? '?' : static_cast<char>(c));
  }
  return out + '"';
}

std::string ExitStatus(int code) {
  return absl::StrCat(
      R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: )",
      code, R"(","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":")",
      code, R"("}]}})");
}

std::string FailureStatus(const Status& status) {
  const std::string message = JsonText(status.message());
  return absl::StrCat(R"({"metadata":{},"status":"Failure","message":)", message,
                      R"(,"reason":"InternalError","details":{"causes":[{"message":)", message,
                      R"(}]},"code":500})");
}

// Numbers beyond 65535 stand for the largest size there is.
bool ParseMember(absl::string_view member, WindowSize* size) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(member, absl::MaxSplits(':', 1));
  const absl::string_view name = absl::StripAsciiWhitespace(parts.first);
  uint64_t number;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(parts.second), &number)) return false;
  const auto value = static_cast<uint16_t>(std::min<uint64_t>(number, 65535));
  if (absl::EqualsIgnoreCase(name, "\"width\""))
    size->width = value;
  else if (absl::EqualsIgnoreCase(name, "\"height\""))
    size->height = value;
  return true;
}

}  // namespace

std::string EndText(const StatusOr<int>& result, int version) {
  if (version >= 4) {
    if (!result.ok()) return FailureStatus(result.status());
    return *result == 0 ? R"({"metadata":{},"status":"Success"})" : ExitStatus(*result);
  }
  if (!result.ok()) return std::string(result.status().message());
  return *result == 0 ? "" : absl::StrCat("command terminated with exit code ", *result);
}

void ResizeParser::Feed(absl::string_view bytes) {
  for (const char c : bytes) {
    if (c == '{') object_.clear();
    if (object_.empty() && c != '{') continue;
    object_.push_back(c);
    if (c == '}') Parse();
    if (c == '}' || object_.size() > kMaxResizeObject) object_.clear();
  }
}

void ResizeParser::Parse() {
  WindowSize size;
  const absl::string_view inside(object_.data() + 1, object_.size() - 2);
  for (const absl::string_view member : absl::StrSplit(inside, ','))
    if (!ParseMember(member, &size)) return;
  if (size.width == 0 && size.height == 0) return;
  size_ = size;
  fresh_ = true;
}

bool ResizeParser::Take(WindowSize* size) {
  if (fresh_) *size = size_;
  return std::exchange(fresh_, false);
}

}  // namespace crisp::streaming
