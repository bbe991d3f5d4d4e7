#include "cri/streaming/http_upgrade.h"

#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace crisp::streaming {
namespace {

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != nullptr);
  });
}

bool ParseRequestLine(absl::string_view line, UpgradeHead* head) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3 || !IsToken(parts[0]) || parts[1].empty() || parts[1][0] != '/' ||
      parts[2] != "HTTP/1.1")
    return false;
  if (!std::all_of(parts[1].begin(), parts[1].end(),
                   [](unsigned char c) { return absl::ascii_isgraph(c); }))
    return false;
  head->method = std::string(parts[0]);
  head->path = std::string(parts[1].substr(0, parts[1].find('?')));
  return true;
}

bool ParseHeader(absl::string_view line, UpgradeHead* head) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) return false;
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (std::any_of(value.begin(), value.end(),
                  [](unsigned char c) { return absl::ascii_iscntrl(c) && c != '\t'; }))
    return false;
  head->headers.emplace_back(absl::AsciiStrToLower(line.substr(0, colon)), std::string(value));
  return true;
}

// A body would be taken for the new protocol's bytes: whoever sends one is answered 400, and so is
// every doubt about its length (request smuggling).
bool HasBody(const UpgradeHead& head) {
  if (head.Find("transfer-encoding") != nullptr) return true;
  for (const auto& [name, value] : head.headers)
    if (name == "content-length" && value != "0") return true;
  return false;
}

bool HasWord(const std::vector<std::string>& words, absl::string_view word) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& w) { return absl::EqualsIgnoreCase(w, word); });
}

struct Offer {
  absl::string_view name;
  WireKind wire;
  int version;
  bool base64;
};

constexpr Offer kSpdyExec[] = {{"v4.channel.k8s.io", WireKind::kSpdy, 4, false},
                               {"v3.channel.k8s.io", WireKind::kSpdy, 3, false},
                               {"v2.channel.k8s.io", WireKind::kSpdy, 2, false},
                               {"channel.k8s.io", WireKind::kSpdy, 1, false}};
constexpr Offer kSpdyForward[] = {{"portforward.k8s.io", WireKind::kSpdy, 1, false}};
constexpr Offer kSocketExec[] = {{"v5.channel.k8s.io", WireKind::kChannels, 5, false},
                                 {"v4.channel.k8s.io", WireKind::kChannels, 4, false},
                                 {"v4.base64.channel.k8s.io", WireKind::kChannels, 4, true},
                                 {"v3.channel.k8s.io", WireKind::kChannels, 3, false},
                                 {"v2.channel.k8s.io", WireKind::kChannels, 2, false},
                                 {"channel.k8s.io", WireKind::kChannels, 1, false},
                                 {"base64.channel.k8s.io", WireKind::kChannels, 1, true}};
constexpr Offer kSocketForward[] = {{"SPDY/3.1+portforward.k8s.io", WireKind::kTunnel, 1, false},
                                    {"v4.channel.k8s.io", WireKind::kChannels, 4, false},
                                    {"v4.base64.channel.k8s.io", WireKind::kChannels, 4, true}};

struct Offers {
  const Offer* begin_;
  const Offer* end_;
  const Offer* begin() const { return begin_; }
  const Offer* end() const { return end_; }
};

Offers OffersFor(bool websocket, StreamKind kind) {
  const auto all = [](const auto& list) { return Offers{std::begin(list), std::end(list)}; };
  const bool forward = kind == StreamKind::kPortForward;
  if (websocket) return forward ? all(kSocketForward) : all(kSocketExec);
  return forward ? all(kSpdyForward) : all(kSpdyExec);
}

// The client's order counts.
const Offer* Choose(const Offers& known, const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted)
    for (const Offer& offer : known)
      if (offer.name == name) return &offer;
  return nullptr;
}

std::string NothingInCommon(const Offers& known) {
  const std::string names = absl::StrJoin(
      known, ", ", [](std::string* out, const Offer& o) { absl::StrAppend(out, o.name); });
  return HttpRefusal(403, absl::StrCat("none of the protocols offered is known; known: ", names),
                     absl::StrCat("X-Accepted-Stream-Protocol-Versions: ", names, "\r\n"));
}

std::string Switching(absl::string_view protocol, absl::string_view more) {
  return absl::StrCat("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ",
                      protocol, "\r\n", more, "\r\n");
}

void Accept(const Offer& offer, std::string answer, Handshake* shake) {
  shake->wire = offer.wire;
  shake->version = offer.version;
  shake->base64 = offer.base64;
  shake->answer = std::move(answer);
  shake->accepted = true;
}

void NegotiateSpdy(const UpgradeHead& head, StreamKind kind, Handshake* shake) {
  const std::vector<std::string> wanted = head.List("x-stream-protocol-version");
  const Offers known = OffersFor(false, kind);
  if (wanted.empty()) {
    shake->answer = HttpRefusal(400, "X-Stream-Protocol-Version is missing");
    return;
  }
  const Offer* offer = Choose(known, wanted);
  if (offer == nullptr) {
    shake->answer = NothingInCommon(known);
    return;
  }
  Accept(*offer,
         Switching("SPDY/3.1", absl::StrCat("X-Stream-Protocol-Version: ", offer->name, "\r\n")),
         shake);
}

bool GoodKey(const std::string* key) {
  std::string plain;
  return key != nullptr && absl::Base64Unescape(*key, &plain) && plain.size() == 16;
}

void NegotiateWebSocket(const UpgradeHead& head, StreamKind kind, Handshake* shake) {
  const std::string* key = head.Find("sec-websocket-key");
  const std::string* version = head.Find("sec-websocket-version");
  if (head.method != "GET" || !GoodKey(key)) {
    shake->answer = HttpRefusal(400, "not a WebSocket handshake");
    return;
  }
  if (version == nullptr || *version != "13") {
    shake->answer = HttpRefusal(426, "WebSocket version 13 only", "Sec-WebSocket-Version: 13\r\n");
    return;
  }
  std::string more = absl::StrCat("Sec-WebSocket-Accept: ", WebSocketAccept(*key), "\r\n");
  const std::vector<std::string> wanted = head.List("sec-websocket-protocol");
  const Offers known = OffersFor(true, kind);
  // Who names none gets the oldest, and no such header in the answer.
  constexpr Offer kNameless{"", WireKind::kChannels, 1, false};
  const Offer* offer = wanted.empty() ? &kNameless : Choose(known, wanted);
  if (offer == nullptr) {
    shake->answer = NothingInCommon(known);
    return;
  }
  if (!wanted.empty()) absl::StrAppend(&more, "Sec-WebSocket-Protocol: ", offer->name, "\r\n");
  Accept(*offer, Switching("websocket", more), shake);
}

absl::string_view ReasonOf(int code) {
  switch (code) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 426:
      return "Upgrade Required";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

}  // namespace

const std::string* UpgradeHead::Find(absl::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return &value;
  return nullptr;
}

std::vector<std::string> UpgradeHead::List(absl::string_view name) const {
  std::vector<std::string> all;
  for (const auto& [key, value] : headers) {
    if (key != name) continue;
    for (const absl::string_view part : absl::StrSplit(value, ',', absl::SkipWhitespace()))
      all.emplace_back(absl::StripAsciiWhitespace(part));
  }
  return all;
}

HeadParse ParseUpgradeHead(absl::string_view bytes, UpgradeHead* head, size_t* size) {
  const size_t end = bytes.substr(0, kMaxHead + 4).find("\r\n\r\n");
  if (end == absl::string_view::npos)
    return bytes.size() > kMaxHead ? HeadParse::kTooLarge : HeadParse::kIncomplete;
  if (end > kMaxHead) return HeadParse::kTooLarge;
  const std::vector<absl::string_view> lines = absl::StrSplit(bytes.substr(0, end), "\r\n");
  if (lines.size() > kMaxHeadLines) return HeadParse::kTooLarge;
  UpgradeHead parsed;
  if (!ParseRequestLine(lines[0], &parsed)) return HeadParse::kBad;
  for (size_t i = 1; i < lines.size(); i++)
    if (!ParseHeader(lines[i], &parsed)) return HeadParse::kBad;
  if (HasBody(parsed)) return HeadParse::kBad;
  *head = std::move(parsed);
  *size = end + 4;
  return HeadParse::kComplete;
}

Handshake Negotiate(const UpgradeHead& head, StreamKind kind) {
  Handshake shake;
  const std::vector<std::string> upgrade = head.List("upgrade");
  if (!HasWord(head.List("connection"), "upgrade"))
    shake.answer = HttpRefusal(400, "this is not an upgrade request");
  else if (HasWord(upgrade, "SPDY/3.1"))
    NegotiateSpdy(head, kind, &shake);
  else if (HasWord(upgrade, "websocket"))
    NegotiateWebSocket(head, kind, &shake);
  else
    shake.answer = HttpRefusal(400, "upgrade to SPDY/3.1 or websocket only");
  return shake;
}

std::string HttpRefusal(int code, absl::string_view why, absl::string_view more_headers) {
  return absl::StrCat("HTTP/1.1 ", code, " ", ReasonOf(code),
                      "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ",
                      why.size() + 1, "\r\n", more_headers, "Connection: close\r\n\r\n", why, "\n");
}

std::string WebSocketAccept(absl::string_view key) {
  const std::string text = absl::StrCat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  unsigned char hash[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash);
  return absl::Base64Escape(absl::string_view(reinterpret_cast<char*>(hash), sizeof(hash)));
}

}  // namespace crisp::streaming
