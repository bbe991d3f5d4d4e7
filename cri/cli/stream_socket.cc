#include "cri/cli/stream_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"

namespace crisp::cli {
namespace {

constexpr int kAnswerMs = 30000;  // an exec's launch may take as long
constexpr size_t kMaxHead = 16 << 10;

StatusOr<UniqueFd> Connect(const StreamUrl& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int bad = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found))
    return absl::UnavailableError(absl::StrCat("find ", url.host, ": ", gai_strerror(bad)));
  int error = EADDRNOTAVAIL;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    UniqueFd fd(socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.valid() && connect(fd.get(), each->ai_addr, each->ai_addrlen) == 0) {
      freeaddrinfo(found);
      const int one = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      return fd;
    }
    error = errno;
  }
  freeaddrinfo(found);
  return ErrnoStatus(error, "connect to the streaming server at ", url.host, ":", url.port);
}

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  if (getrandom(bytes.data(), size, 0) != static_cast<ssize_t>(size)) bytes.assign(size, 'x');
  return bytes;
}

}  // namespace

StatusOr<StreamUrl> ParseStreamUrl(absl::string_view url) {
  absl::string_view rest = url;
  StreamUrl parsed;
  parsed.secure = absl::ConsumePrefix(&rest, "https://");
  const bool known = parsed.secure || absl::ConsumePrefix(&rest, "http://");
  const size_t slash = known ? rest.find('/') : absl::string_view::npos;
  if (slash == absl::string_view::npos)
    return InvalidField("the runtime's URL", std::string(url), "must be http[s]://HOST:PORT/PATH");
  parsed.path = std::string(rest.substr(slash));
  rest = rest.substr(0, slash);
  const size_t colon = rest.rfind(':');
  if (colon == absl::string_view::npos)
    return InvalidField("the runtime's URL", std::string(url), "has no port");
  parsed.port = std::string(rest.substr(colon + 1));
  rest = rest.substr(0, colon);
  if (absl::ConsumePrefix(&rest, "[")) absl::ConsumeSuffix(&rest, "]");
  parsed.host = std::string(rest);
  return parsed;
}

StatusOr<std::string> CheckUpgrade(absl::string_view head) {
  const std::vector<absl::string_view> lines = absl::StrSplit(head, "\r\n");
  const std::vector<absl::string_view> words = absl::StrSplit(lines[0], absl::MaxSplits(' ', 2));
  if (words.size() < 2 || words[1] != "101")
    return absl::UnavailableError(
        absl::StrCat("the streaming server answers: ", lines[0].substr(0, 200)));
  for (const absl::string_view line : lines) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::EqualsIgnoreCase(field.first, "Sec-WebSocket-Protocol"))
      return std::string(absl::StripAsciiWhitespace(field.second));
  }
  return absl::UnavailableError("the streaming server chose no protocol");
}

StatusOr<StreamSocket> StreamSocket::Open(const std::string& url,
                                          const std::vector<std::string>& protocols,
                                          const std::string& ca_file) {
  ASSIGN_OR_RETURN(const StreamUrl parsed, ParseStreamUrl(url));
  StreamSocket socket;
  ASSIGN_OR_RETURN(socket.fd_, Connect(parsed));
  if (parsed.secure) {
    ASSIGN_OR_RETURN(socket.tunnel_, TlsTunnel::Open(std::move(socket.fd_), parsed.host, ca_file));
    socket.fd_ = socket.tunnel_->TakePlainEnd();
  }
  RETURN_IF_ERROR(socket.Upgrade(parsed, protocols));
  fcntl(socket.fd(), F_SETFL, O_RDWR | O_NONBLOCK);
  return socket;
}

// Sec-WebSocket-Accept is not looked at: it unmasks caches that answer what they do not understand,
// and a server that names one of our subprotocols understands.
Status StreamSocket::Upgrade(const StreamUrl& url, const std::vector<std::string>& protocols) {
  const std::string request =
      absl::StrCat("GET ", url.path, " HTTP/1.1\r\nHost: ", url.host, ":", url.port,
                   "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: ",
                   absl::Base64Escape(RandomBytes(16)),
                   "\r\nSec-WebSocket-Protocol: ", absl::StrJoin(protocols, ", "), "\r\n\r\n");
  RETURN_IF_ERROR(Annotate(WriteAll(fd(), request), "ask the streaming server"));
  std::string answer;
  size_t end = std::string::npos;
  while ((end = answer.find("\r\n\r\n")) == std::string::npos) {
    pollfd poller{fd(), POLLIN, 0};
    if (poll(&poller, 1, kAnswerMs) <= 0)
      return absl::DeadlineExceededError("the streaming server does not answer");
    char buffer[4096];
    const ssize_t got = recv(fd(), buffer, sizeof(buffer), 0);
    if (got <= 0 || answer.size() > kMaxHead)
      return absl::UnavailableError("the streaming server broke the connection off");
    answer.append(buffer, static_cast<size_t>(got));
  }
  ASSIGN_OR_RETURN(protocol_, CheckUpgrade(answer.substr(0, end)));
  first_ = answer.substr(end + 4);
  return absl::OkStatus();
}

void StreamSocket::Send(WsOpcode opcode, absl::string_view data) {
  uint32_t mask = 0;
  const std::string random = RandomBytes(sizeof(mask));
  for (const char c : random) mask = mask << 8 | static_cast<uint8_t>(c);
  queue_ += WsFrame(opcode, data, mask);
}

void StreamSocket::SendChannel(char channel, absl::string_view data) {
  std::string message(1, channel);
  message.append(data.data(), data.size());
  Send(kWsBinary, message);
}

Status StreamSocket::Flush() {
  while (!queue_.empty()) {
    const ssize_t sent = send(fd(), queue_.data(), queue_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return absl::OkStatus();
    if (sent < 0) return ErrnoStatus(errno, "send to the streaming server");
    queue_.erase(0, static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

StatusOr<std::vector<WsMessage>> StreamSocket::Receive(bool* ended) {
  std::vector<WsMessage> messages;
  if (!first_.empty()) {
    RETURN_IF_ERROR(reader_.Feed(first_, &messages));
    first_.clear();
  }
  char buffer[65536];
  const ssize_t got = recv(fd(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got == 0) *ended = true;
  if (got < 0 && errno != EAGAIN && errno != EINTR)
    return ErrnoStatus(errno, "receive from the streaming server");
  if (got > 0)
    RETURN_IF_ERROR(reader_.Feed(absl::string_view(buffer, static_cast<size_t>(got)), &messages));
  for (const WsMessage& message : messages) {
    if (message.opcode == kWsPing) Send(kWsPong, message.data);
    if (message.opcode == kWsClose) *ended = true;
  }
  return messages;
}

}  // namespace crisp::cli
