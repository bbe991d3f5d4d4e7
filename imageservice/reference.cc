#include "imageservice/reference.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;

bool IsLowerAlnum(char c) { return absl::ascii_isdigit(c) || absl::ascii_islower(c); }

// Lower-case letters and digits, with single separators "." "_" "__" or dashes between them.
bool IsPathComponent(absl::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerAlnum(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !IsLowerAlnum(text[end])) ++end;
    const absl::string_view separator = text.substr(i, end - i);
    const bool dashes = separator.find_first_not_of('-') == absl::string_view::npos;
    if (separator != "." && separator != "_" && separator != "__" && !dashes) return false;
    i = end;
  }
  return true;
}

bool IsTag(absl::string_view text) {
  if (text.empty() || text.size() > kMaxTag || text.front() == '.' || text.front() == '-') {
    return false;
  }
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

bool IsPort(absl::string_view text) {
  int port = 0;
  return text.size() <= 5 && !text.empty() && absl::ascii_isdigit(text[0]) &&
         absl::SimpleAtoi(text, &port) && port > 0 && port < 65536;
}

bool IsHostName(absl::string_view host) {
  for (const absl::string_view label : absl::StrSplit(host, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') {
      return false;
    }
    for (const char c : label) {
      if (!absl::ascii_isalnum(c) && c != '-') return false;
    }
  }
  return true;
}

bool IsIpv6(absl::string_view text) {
  return text.size() >= 2 &&
         text.find_first_not_of("0123456789abcdefABCDEF:.") == absl::string_view::npos;
}

// host, host:port, [v6], [v6]:port
bool IsRegistry(absl::string_view text) {
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos || !IsIpv6(text.substr(1, end - 1))) return false;
    const absl::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest[0] == ':' && IsPort(rest.substr(1)));
  }
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return IsHostName(text);
  return IsHostName(text.substr(0, colon)) && IsPort(text.substr(colon + 1));
}

// The first component is a registry only if it looks like one.
bool LooksLikeRegistry(absl::string_view first) {
  if (first == "localhost" || first.find_first_of(".:[") != absl::string_view::npos) return true;
  for (const char c : first) {
    if (absl::ascii_isupper(c)) return true;
  }
  return false;
}

void SplitRegistry(absl::string_view name, Reference* reference) {
  const size_t slash = name.find('/');
  if (slash == absl::string_view::npos || !LooksLikeRegistry(name.substr(0, slash))) {
    reference->registry = "docker.io";
    reference->repository = absl::StrCat(name);
  } else {
    reference->registry = absl::StrCat(name.substr(0, slash));
    reference->repository = absl::StrCat(name.substr(slash + 1));
  }
  if (reference->registry == "index.docker.io") reference->registry = "docker.io";
  if (reference->registry == "docker.io" && !absl::StrContains(reference->repository, "/")) {
    reference->repository = absl::StrCat("library/", reference->repository);
  }
}

}  // namespace

StatusOr<Reference> ParseReference(absl::string_view text) {
  Reference reference;
  absl::string_view name = text;
  const size_t at = name.find('@');
  if (at != absl::string_view::npos) {
    reference.digest = absl::StrCat(name.substr(at + 1));
    if (!IsDigest(reference.digest)) {
      return InvalidField("image", text, "the digest is not sha256:<64 hex digits>");
    }
    name = name.substr(0, at);
  }
  const size_t slash = name.rfind('/');
  const size_t colon = name.rfind(':');
  if (colon != absl::string_view::npos && (slash == absl::string_view::npos || colon > slash)) {
    reference.tag = absl::StrCat(name.substr(colon + 1));
    if (!IsTag(reference.tag)) return InvalidField("image", text, "the tag is malformed");
    name = name.substr(0, colon);
  }
  if (name.empty()) return InvalidField("image", text, "the name is empty");
  SplitRegistry(name, &reference);
  if (reference.Name().size() > kMaxName) {  // as completed, so that what we print parses again
    return InvalidField("image", text, "the name is longer than 255 characters");
  }
  if (!IsRegistry(reference.registry)) {
    return InvalidField("image", text, "the registry is not host[:port]");
  }
  for (const absl::string_view component : absl::StrSplit(reference.repository, '/')) {
    if (!IsPathComponent(component)) {
      return InvalidField("image", text, "the repository name is malformed");
    }
  }
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

}  // namespace crisp::image
