#include "cri/config/checks.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cri/config/fields.h"

namespace crisp {
namespace {

bool IsWord(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isgraph(c); });
}

bool IsPort(absl::string_view text) {
  int port = 0;
  return absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535;
}

}  // namespace

std::string CheckPath(absl::string_view text) {
  if (text[0] != '/') return "must be an absolute path";
  if (text.size() > 4095) return "is longer than a path can be";
  for (absl::string_view part : absl::StrSplit(text, '/'))
    if (part == "..") return "must not contain \"..\"";
  for (unsigned char c : text)
    if (absl::ascii_iscntrl(c)) return "contains a control character";
  return "";
}

std::string CheckSocket(absl::string_view text) {
  if (text.size() > 107) return "is longer than 107 bytes, the limit of a unix socket";
  return CheckPath(text);
}

std::string CheckAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || !IsPort(text.substr(colon + 1)))
    return "must be ADDRESS:PORT";
  std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  char buffer[sizeof(in6_addr)];
  if (inet_pton(AF_INET, host.c_str(), buffer) != 1 &&
      inet_pton(AF_INET6, host.c_str(), buffer) != 1)
    return "must be a numeric address, as 127.0.0.1:9090 or [::1]:9090";
  return "";
}

std::string CheckStreamAddress(absl::string_view text) {
  if (absl::EndsWith(text, ":0")) return CheckAddress(absl::StrCat(text, "1"));
  return CheckAddress(text);
}

std::string CheckOnDisconnect(absl::string_view text) {
  for (const char* policy : {"hangup", "kill", "leave"})
    if (text == policy) return "";
  return "must be hangup, kill or leave";
}

std::string CheckLogLevel(absl::string_view text) {
  for (const char* level : {"debug", "info", "warning", "error"})
    if (text == level) return "";
  return "must be debug, info, warning or error";
}

std::string CheckCgroupDriver(absl::string_view text) {
  for (const char* driver : {"auto", "cgroupfs", "systemd"})
    if (text == driver) return "";
  return "must be auto, cgroupfs or systemd";
}

std::string CheckHandlerName(absl::string_view text) {
  if (text == "crisp") return "is the built-in handler, which cannot be changed";
  if (text.empty() || text.size() > 63) return "must have 1 to 63 characters";
  for (const char c : text) {
    if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-')
      return "must be of a-z, 0-9 and -";
  }
  return text.front() == '-' || text.back() == '-' ? "must not begin or end with -" : "";
}

std::string CheckHandlerSeccomp(absl::string_view text) {
  return text == "runtime-default" ? "" : "must be runtime-default or empty";
}

std::string CheckWord(absl::string_view text) {
  return IsWord(text) ? "" : "must not contain spaces or control characters";
}

std::string CheckSubnet(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  in_addr address;
  uint32_t prefix = 0;
  if (parts.size() != 2 || inet_pton(AF_INET, parts[0].c_str(), &address) != 1 ||
      !absl::SimpleAtoi(parts[1], &prefix))
    return "must be an IPv4 network, as 10.85.0.0/16";
  if (prefix < 8 || prefix > 29) return "prefix length must be 8 to 29";
  if ((ntohl(address.s_addr) & (0xffffffffu >> prefix)) != 0) return "has bits beyond the prefix";
  return "";
}

std::string CheckInterface(absl::string_view text) {
  if (text.size() > 15 || !IsWord(text) || absl::StrContains(text, "/") || text == "." ||
      text == "..")
    return "must be an interface name of 1 to 15 characters";
  return "";
}

std::string CheckUrl(absl::string_view text) {
  if (!absl::StartsWith(text, "https://") && !absl::StartsWith(text, "http://"))
    return "must begin with https:// or http://";
  if (absl::StrContains(text, "@")) return "must not contain credentials";
  return CheckWord(text);
}

std::string CheckRegistryHost(absl::string_view text) {
  absl::string_view host = text;
  if (const size_t colon = text.rfind(':');
      colon != absl::string_view::npos && !absl::EndsWith(text, "]")) {
    if (!IsPort(text.substr(colon + 1))) return "has no valid port";
    host = text.substr(0, colon);
  }
  const bool good = !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '[' || c == ']' || c == ':';
  });
  return good ? "" : "must be HOST or HOST:PORT, as in an image reference";
}

std::string CheckPlace(const FieldPlace& place, TextCheck check, int64_t min, int64_t max) {
  if (const auto* number = std::get_if<int64_t*>(&place)) {
    if (**number < min || **number > max) return absl::StrCat("must be ", min, " to ", max);
  } else if (const auto* text = std::get_if<std::string*>(&place)) {
    if (!(*text)->empty() && check != nullptr) return check(**text);
  } else if (const auto* list = std::get_if<std::vector<std::string>*>(&place)) {
    for (const std::string& element : **list) {
      const std::string why = element.empty() ? "must not be empty" : check(element);
      if (!why.empty()) return absl::StrCat("\"", element, "\" ", why);
    }
  }
  return "";
}

std::string NearestName(absl::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = 1 + std::min<size_t>(3, name.size() / 2);
  for (const std::string& candidate : known) {
    // Levenshtein, one row; both are short (names beyond 64 bytes have no neighbour).
    if (name.size() > 64) break;
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i);
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t replace = diagonal + (name[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = std::exchange(row[j], std::min({replace, row[j] + 1, row[j - 1] + 1}));
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace crisp
