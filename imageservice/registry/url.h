// URLs as far as a registry needs them: split, join, compare origins, print without secrets.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::image {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; IPv6 without brackets
  int port = 0;        // always set
  std::string path;    // begins with '/', with query

  std::string Origin() const;  // scheme://host:port
  std::string Text() const { return Origin() + path; }
  // For messages: no query, which may carry signatures (S44).
  std::string Printable() const;
  bool SameOrigin(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

// Absolute http(s) URLs only; no user info, no control characters, at most 8 KiB.
StatusOr<Url> ParseUrl(absl::string_view text);

// A Location header: absolute, "//host/path", "/path" or relative.
StatusOr<Url> ResolveUrl(const Url& base, absl::string_view location);

// 127.0.0.0/8, ::1, localhost and names below it.
bool IsLoopbackHost(absl::string_view host);
bool IsIpAddress(absl::string_view host);

// RFC 3986 percent-encoding of a query value.
std::string PercentEncode(absl::string_view text);

}  // namespace crisp::image
