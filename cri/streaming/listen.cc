#include "cri/streaming/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/numbers.h"

namespace crisp::streaming {
namespace {

constexpr int kBacklog = 512;

struct Address {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  bool is_v4 = false;
  std::string host;  // as it stands in a URL

  sockaddr* where() {
    return is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  }
  socklen_t length() const { return is_v4 ? sizeof(v4) : sizeof(v6); }
};

StatusOr<Address> ParseAddress(const std::string& text) {
  Address address;
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port > 65535)
    return InvalidField("streaming.address", text, "must be ADDRESS:PORT");
  address.host = text.substr(0, colon);
  std::string plain = address.host;
  if (plain.size() > 2 && plain.front() == '[') plain = plain.substr(1, plain.size() - 2);
  address.v4.sin_family = AF_INET;
  address.v6.sin6_family = AF_INET6;
  address.v4.sin_port = address.v6.sin6_port = htons(static_cast<uint16_t>(port));
  address.is_v4 = inet_pton(AF_INET, plain.c_str(), &address.v4.sin_addr) == 1;
  if (!address.is_v4 && inet_pton(AF_INET6, plain.c_str(), &address.v6.sin6_addr) != 1)
    return InvalidField("streaming.address", text, "is not a numeric address");
  return address;
}

}  // namespace

StatusOr<ListeningSocket> ListenOn(const std::string& text, bool secure) {
  ASSIGN_OR_RETURN(Address address, ParseAddress(text));
  ListeningSocket made;
  made.fd.Reset(
      socket(address.is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.fd.valid()) return ErrnoStatus(errno, "make socket for streaming");
  const int one = 1;
  setsockopt(made.fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(made.fd.get(), address.where(), address.length()) != 0)
    return ErrnoStatus(errno, "bind streaming server to ", text);
  if (listen(made.fd.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen on ", text);
  socklen_t length = address.length();
  getsockname(made.fd.get(), address.where(), &length);
  made.port = ntohs(address.is_v4 ? address.v4.sin_port : address.v6.sin6_port);
  made.url = absl::StrCat(secure ? "https://" : "http://", address.host, ":", made.port);
  return made;
}

}  // namespace crisp::streaming
