#include "cri/api/h2_guard.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>
#include <vector>

extern "C" {
ssize_t __real_recvmsg(int fd, msghdr* message, int flags);
ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);
int __real_accept4(int fd, sockaddr* address, socklen_t* size, int flags);
int __real_close(int fd);
ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags);
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags);
int __wrap_accept4(int fd, sockaddr* address, socklen_t* size, int flags);
int __wrap_close(int fd);
}

namespace crisp {
namespace {

// Above fs.nr_open's default no descriptor of a daemon can be; the table costs only the pages that
// are used.
constexpr int kMaxFd = 1 << 20;

struct Connection {
  std::mutex mu;  // gRPC reads a connection on one thread at a time, not always the same
  bool used = false;
  bool ended = false;
  std::atomic<bool> wrote{false};  // by the server
  H2Scanner scanner;
};

// Descriptor -> 1 + index of its connection; 0: not ours. Zeros in .bss, so before any constructor
// runs too.
std::atomic<uint16_t> connection_of[kMaxFd];
std::atomic<H2Report> report_to{nullptr};

struct Table {
  std::mutex mu;
  std::vector<std::string> paths;
  std::array<Connection, kMaxCriConnections> connections;
};
Table& TheTable() {
  static auto* table = new Table;  // never destroyed: gRPC's threads may outlive main
  return *table;
}

int64_t NowMillis() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

bool Guarded(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.sun_family != AF_UNIX) return false;
  const absl::string_view path(address.sun_path,
                               strnlen(address.sun_path, sizeof(address.sun_path)));
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mu);
  return std::find(table.paths.begin(), table.paths.end(), path) != table.paths.end();
}

// False: there are as many connections as there may be.
bool Remember(int fd) {
  if (fd >= kMaxFd) return false;
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mu);
  for (size_t i = 0; i < table.connections.size(); ++i) {
    Connection& connection = table.connections[i];
    if (connection.used) continue;
    connection.used = true;
    std::lock_guard<std::mutex> scan_lock(connection.mu);
    connection.ended = false;
    connection.wrote = false;
    connection.scanner = H2Scanner();
    connection_of[fd].store(static_cast<uint16_t>(i + 1), std::memory_order_release);
    return true;
  }
  return false;
}

void Forget(int fd) {
  if (fd < 0 || fd >= kMaxFd || connection_of[fd].load(std::memory_order_relaxed) == 0) return;
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mu);
  const uint16_t number = connection_of[fd].exchange(0, std::memory_order_acq_rel);
  if (number != 0) table.connections[number - 1].used = false;
}

Connection* Find(int fd) {
  if (fd < 0 || fd >= kMaxFd) return nullptr;
  const uint16_t number = connection_of[fd].load(std::memory_order_acquire);
  return number == 0 ? nullptr : &TheTable().connections[number - 1];
}

void Report(int fd, H2Abuse abuse) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) peer.pid = 0;
  if (const H2Report report = report_to.load(); report != nullptr) report({abuse, peer.pid});
}

// Whether gRPC may have what was read.
bool Scan(int fd, Connection* connection, const msghdr& message, size_t left) {
  const int64_t now = NowMillis();
  std::lock_guard<std::mutex> lock(connection->mu);
  H2Scanner& scanner = connection->scanner;
  if (connection->wrote.load(std::memory_order_relaxed)) scanner.ServerWrote();
  H2Abuse abuse = H2Abuse::kNone;
  for (size_t i = 0; i < message.msg_iovlen && left > 0 && abuse == H2Abuse::kNone; ++i) {
    const iovec& piece = message.msg_iov[i];
    const size_t size = std::min(left, piece.iov_len);
    abuse = scanner.Feed(static_cast<const uint8_t*>(piece.iov_base), size, now);
    left -= size;
  }
  if (abuse == H2Abuse::kNone) return true;
  if (!connection->ended) Report(fd, abuse);  // gRPC may read again before it closes
  connection->ended = true;
  return false;
}

}  // namespace

void GuardHttp2(const std::string& socket_path, H2Report report) {
  Table& table = TheTable();
  std::lock_guard<std::mutex> lock(table.mu);
  if (std::find(table.paths.begin(), table.paths.end(), socket_path) == table.paths.end())
    table.paths.push_back(socket_path);
  report_to.store(report);
}

}  // namespace crisp

// The connection was good until now: what gRPC has got of it ends as when a client goes away.
ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  const ssize_t got = __real_recvmsg(fd, message, flags);
  if (got <= 0) return got;
  crisp::Connection* connection = crisp::Find(fd);
  if (connection == nullptr) return got;
  if (crisp::Scan(fd, connection, *message, static_cast<size_t>(got))) return got;
  shutdown(fd, SHUT_RDWR);
  errno = ECONNRESET;
  return -1;
}

// Before the client can answer what is written.
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  if (crisp::Connection* connection = crisp::Find(fd); connection != nullptr)
    connection->wrote.store(true, std::memory_order_relaxed);
  return __real_sendmsg(fd, message, flags);
}

int __wrap_accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  for (;;) {
    const int accepted = __real_accept4(fd, address, size, flags);
    if (accepted < 0 || crisp::report_to.load(std::memory_order_relaxed) == nullptr)
      return accepted;
    if (!crisp::Guarded(accepted) || crisp::Remember(accepted)) return accepted;
    // The next one, not an error: gRPC takes most errors for the end of its listening.
    crisp::Report(accepted, crisp::H2Abuse::kConnections);
    __real_close(accepted);
  }
}

// Before the number can be given out again.
int __wrap_close(int fd) {
  crisp::Forget(fd);
  return __real_close(fd);
}
