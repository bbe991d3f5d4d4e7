#include "imageservice/registry/url.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxUrl = 8192;

Status Bad(absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("URL: ", reason));
}

// "host", "host:port", "[v6]:port"
Status ParseAuthority(absl::string_view text, Url* url) {
  if (text.find('@') != absl::string_view::npos) return Bad("user information is not accepted");
  absl::string_view host = text, port;
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return Bad("malformed IPv6 address");
    host = text.substr(1, end - 1);
    in6_addr unused;
    if (inet_pton(AF_INET6, absl::StrCat(host).c_str(), &unused) != 1) {
      return Bad("malformed IPv6 address");
    }
    port = text.substr(end + 1);
  } else {
    const size_t colon = text.find(':');
    host = text.substr(0, colon);
    if (colon != absl::string_view::npos) port = text.substr(colon);
  }
  url->host = absl::AsciiStrToLower(host);
  if (url->host.empty()) return Bad("no host");
  url->port = url->scheme == "https" ? 443 : 80;
  if (port.empty()) return absl::OkStatus();
  if (!absl::ConsumePrefix(&port, ":") || !absl::SimpleAtoi(port, &url->port) || url->port < 1 ||
      url->port > 65535) {
    return Bad("malformed port");
  }
  return absl::OkStatus();
}

}  // namespace

std::string Url::Origin() const {
  const bool v6 = host.find(':') != std::string::npos;
  return absl::StrCat(scheme, "://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

std::string Url::Printable() const {
  return absl::StrCat(Origin(), path.substr(0, path.find('?')));
}

StatusOr<Url> ParseUrl(absl::string_view text) {
  if (text.size() > kMaxUrl) return Bad("longer than 8192 bytes");
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return Bad("control character or blank");
  }
  Url url;
  const size_t end = text.find("://");
  if (end == absl::string_view::npos) return Bad("not absolute");
  url.scheme = absl::AsciiStrToLower(text.substr(0, end));
  if (url.scheme != "http" && url.scheme != "https") return Bad("neither http nor https");
  absl::string_view rest = text.substr(end + 3);
  const size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
  RETURN_IF_ERROR(ParseAuthority(rest.substr(0, slash), &url));
  rest = rest.substr(slash);
  rest = rest.substr(0, rest.find('#'));
  url.path = absl::StrCat(rest);
  if (url.path.empty() || url.path[0] != '/') url.path = "/" + url.path;
  return url;
}

StatusOr<Url> ResolveUrl(const Url& base, absl::string_view location) {
  if (location.find("://") != absl::string_view::npos &&
      location.find("://") < location.find_first_of("/?#")) {
    return ParseUrl(location);
  }
  if (absl::StartsWith(location, "//")) {
    return ParseUrl(absl::StrCat(base.scheme, ":", location));
  }
  if (absl::StartsWith(location, "/")) return ParseUrl(absl::StrCat(base.Origin(), location));
  const size_t colon = location.find(':');
  if (colon != absl::string_view::npos && colon < location.find('/')) {
    return Bad("neither http nor https");
  }
  const std::string path = base.path.substr(0, base.path.find('?'));
  return ParseUrl(absl::StrCat(base.Origin(), path.substr(0, path.rfind('/') + 1), location));
}

bool IsIpAddress(absl::string_view host) {
  in6_addr v6;
  in_addr v4;
  const std::string text(host);
  return inet_pton(AF_INET, text.c_str(), &v4) == 1 || inet_pton(AF_INET6, text.c_str(), &v6) == 1;
}

bool IsLoopbackHost(absl::string_view host) {
  in_addr v4;
  const std::string text = absl::AsciiStrToLower(host);
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return text == "::1" || text == "localhost" || absl::EndsWith(text, ".localhost");
}

std::string PercentEncode(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(c);
    } else {
      out += {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
    }
  }
  return out;
}

}  // namespace crisp::image
