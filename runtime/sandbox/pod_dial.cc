#include "runtime/sandbox/pod_dial.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "runtime/sandbox/namespace_visit.h"

namespace crisp::runtime {
namespace {

struct Sockets {
  UniqueFd v4, v6;
};

// A socket belongs to the namespace that it was made in, so a visit for two calls is enough; the
// waiting happens outside.
StatusOr<Sockets> MakeSockets(int net) {
  NamespaceVisit visit;
  if (net >= 0) RETURN_IF_ERROR(visit.Join(CLONE_NEWNET, net));
  Sockets sockets;
  constexpr int kType = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  sockets.v4.Reset(socket(AF_INET, kType, 0));
  if (!sockets.v4.valid()) return ErrnoStatus(errno, "make socket");
  sockets.v6.Reset(socket(AF_INET6, kType, 0));  // missing where the kernel has no IPv6
  return sockets;
}

// 0 or errno.
int Connect(int fd, const sockaddr* address, socklen_t size, std::chrono::milliseconds limit) {
  if (fd < 0) return EAFNOSUPPORT;
  if (connect(fd, address, size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd poller{fd, POLLOUT, 0};
  int ready;
  do {
    ready = poll(&poller, 1, static_cast<int>(limit.count()));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

int ConnectV4(int fd, uint16_t port, std::chrono::milliseconds limit) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return Connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address), limit);
}

int ConnectV6(int fd, uint16_t port, std::chrono::milliseconds limit) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr = in6addr_loopback;
  return Connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address), limit);
}

UniqueFd Ready(UniqueFd fd) {
  const int one = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  fcntl(fd.get(), F_SETFL, O_RDWR);  // blocking
  return fd;
}

}  // namespace

StatusOr<UniqueFd> DialPod(int net, uint16_t port, std::chrono::milliseconds limit) {
  ASSIGN_OR_RETURN(Sockets sockets, MakeSockets(net));
  const int v4 = ConnectV4(sockets.v4.get(), port, limit);
  if (v4 == 0) return Ready(std::move(sockets.v4));
  const int v6 = ConnectV6(sockets.v6.get(), port, limit);
  if (v6 == 0) return Ready(std::move(sockets.v6));
  return ErrnoStatus(v4, "connect to port ", port, " of 127.0.0.1 and [::1]");
}

}  // namespace crisp::runtime
