// The head of an HTTP/1.1 request that wants another protocol (RFC 9112, RFC 9110 7.8), and the
// choice of that protocol.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cri/streaming/session.h"

namespace crisp::streaming {

inline constexpr size_t kMaxHead = 16 << 10;
inline constexpr size_t kMaxHeadLines = 100;

struct UpgradeHead {
  std::string method, path;                                  // path without the query
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case

  const std::string* Find(absl::string_view name) const;  // the first
  // All of a comma list and of repeated headers, in the client's order.
  std::vector<std::string> List(absl::string_view name) const;
};

enum class HeadParse { kIncomplete, kComplete, kBad, kTooLarge };

// `bytes`: all that came so far. `size`: of the head; what follows belongs to the new protocol.
HeadParse ParseUpgradeHead(absl::string_view bytes, UpgradeHead* head, size_t* size);

enum class WireKind { kSpdy, kChannels, kTunnel };

struct Handshake {
  WireKind wire = WireKind::kSpdy;
  int version = 1;  // of exec and attach: 4 and 5 end with a JSON status, others with text
  bool base64 = false;
  std::string answer;  // to send: the 101, or a refusal
  bool accepted = false;
};

// For a request whose token was good.
Handshake Negotiate(const UpgradeHead& head, StreamKind kind);

std::string HttpRefusal(int code, absl::string_view why, absl::string_view more_headers = "");
std::string WebSocketAccept(absl::string_view key);

}  // namespace crisp::streaming
