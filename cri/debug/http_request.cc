#include "cri/debug/http_request.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace crisp {
namespace {

absl::string_view ReasonOf(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Internal Server Error";
  }
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           absl::StrContains("!#$%&'*+-.^_`|~",
                             absl::string_view(reinterpret_cast<const char*>(&c), 1));
  });
}

bool IsVisible(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isgraph(c); });
}

bool HeadersAreWellFormed(const std::vector<absl::string_view>& lines) {
  return std::all_of(lines.begin() + 1, lines.end(), [](absl::string_view line) {
    const size_t colon = line.find(':');
    return colon != absl::string_view::npos && IsToken(line.substr(0, colon)) &&
           std::none_of(line.begin(), line.end(),
                        [](unsigned char c) { return absl::ascii_iscntrl(c) && c != '\t'; });
  });
}

bool ParseRequestLine(absl::string_view line, HttpRequest* request) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3 || !IsToken(parts[0]) || parts[1].empty() || parts[1][0] != '/' ||
      !IsVisible(parts[1]) || (parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0"))
    return false;
  request->method = std::string(parts[0]);
  request->path = std::string(parts[1].substr(0, parts[1].find('?')));
  return true;
}

}  // namespace

HttpParse ParseHttpRequest(absl::string_view bytes, HttpRequest* request) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == absl::string_view::npos)
    return bytes.size() > kMaxRequestHead ? HttpParse::kTooLarge : HttpParse::kIncomplete;
  if (end > kMaxRequestHead) return HttpParse::kTooLarge;
  const std::vector<absl::string_view> lines = absl::StrSplit(bytes.substr(0, end), "\r\n");
  HttpRequest parsed;
  if (!ParseRequestLine(lines[0], &parsed) || !HeadersAreWellFormed(lines)) return HttpParse::kBad;
  *request = std::move(parsed);
  return HttpParse::kComplete;
}

std::string HttpResponse(int code, absl::string_view type, absl::string_view body, bool with_body) {
  return absl::StrCat("HTTP/1.1 ", code, " ", ReasonOf(code), "\r\nContent-Type: ", type,
                      "\r\nContent-Length: ", body.size(),
                      "\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
                      with_body ? body : "");
}

}  // namespace crisp
