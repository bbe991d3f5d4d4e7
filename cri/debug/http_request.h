// The head of an HTTP/1.x request, as far as a server of a few text pages needs it (RFC 9112).
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

struct HttpRequest {
  std::string method;
  std::string path;  // without the query; never decoded: our pages need no escapes
};

enum class HttpParse { kIncomplete, kComplete, kBad, kTooLarge };

inline constexpr size_t kMaxRequestHead = 8 << 10;

// `bytes` is all that came so far. Fills `request` only for kComplete.
HttpParse ParseHttpRequest(absl::string_view bytes, HttpRequest* request);

// Status line, headers and body; the connection always closes after it.
std::string HttpResponse(int code, absl::string_view type, absl::string_view body, bool with_body);

}  // namespace crisp
