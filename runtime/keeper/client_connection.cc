#include "runtime/keeper/client_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/base/files.h"
#include "runtime/keeper/keeper_names.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/scm_rights.h"

namespace crisp::keeper {
namespace {

constexpr int kAnswerMs = 5000;
constexpr int kRetryMs = 20;
constexpr std::chrono::seconds kBusyTime(2);  // a daemon in its end, not one that stays

StatusOr<UniqueFd> OpenPrivateDir(const std::string& path) {
  RETURN_IF_ERROR(MakeDirs(path, 0700));
  UniqueFd dir(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!dir.valid()) return ErrnoStatus(errno, "open ", path);
  struct stat info;
  if (fstat(dir.get(), &info) != 0) return ErrnoStatus(errno, "stat ", path);
  if (info.st_uid != 0 || (info.st_mode & 077) != 0)
    return absl::PermissionDeniedError(absl::StrCat(path, ": must be root's alone (0700)"));
  return dir;
}

// The peer as the kernel knows it, and a pidfd of it.
StatusOr<std::shared_ptr<Connection>> WithPeer(UniqueFd socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return ErrnoStatus(errno, "connect to keeper: peer credentials");
  if (peer.uid != 0) return absl::PermissionDeniedError("connect to keeper: it is not root's");
  UniqueFd keeper(sys::PidfdOpen(peer.pid));
  if (!keeper.valid()) return ErrnoStatus(ECONNREFUSED, "connect to keeper: pid ", peer.pid);
  return std::make_shared<Connection>(std::move(socket), std::move(keeper), peer.pid);
}

StatusOr<std::shared_ptr<Connection>> ConnectSocket(const std::string& dir_path) {
  ASSIGN_OR_RETURN(const UniqueFd dir, OpenPrivateDir(dir_path));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // sun_path is short and state folders may be deep.
  const std::string path = absl::StrCat("/proc/self/fd/", dir.get(), "/", kSocketName);
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "create keeper socket");
  timeval timeout{kAnswerMs / 1000, 0};  // a keeper that is stopped must not hold us
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoStatus(errno == ENOENT ? ECONNREFUSED : errno, "connect to keeper in ", dir_path);
  return WithPeer(std::move(socket));
}

StatusOr<Greeting> Greet(std::shared_ptr<Connection> connection, int table) {
  std::vector<int> fds;
  if (table >= 0) fds.push_back(table);
  ASSIGN_OR_RETURN(Packet packet, connection->Exchange(NewRequest(RequestType::kHello), fds));
  const Reply& reply = packet.reply;
  if (reply.error == EBUSY)
    return absl::UnavailableError(absl::StrCat("keeper serves another daemon: pid ", reply.pid));
  if (reply.error == EPROTONOSUPPORT)
    return absl::FailedPreconditionError("keeper speaks another version of the protocol");
  if (reply.error != 0) return ErrnoStatus(reply.error, "greet keeper");
  if (packet.fds.empty()) return absl::InternalError("greet keeper: no slot table");
  return Greeting{std::move(connection), std::move(packet.fds[0]), reply.fresh_table != 0,
                  std::max(1u, reply.launchers)};
}

void Pause(Deadline deadline) { poll(nullptr, 0, std::min(kRetryMs, MillisUntil(deadline))); }

}  // namespace

int MillisUntil(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

Request NewRequest(RequestType type) {
  Request request{};
  request.magic = kMagic;
  request.major = kMajor;
  request.minor = kMinor;
  request.type = type;
  return request;
}

Status SetId(const std::string& id, Request* request) {
  if (id.size() >= kIdSize || !IsValidId(id.c_str()) || id.find('\0') != std::string::npos)
    return InvalidField("id", id, "must be 1 to 71 of [0-9A-Za-z_.-]");
  memcpy(request->id, id.c_str(), id.size() + 1);
  return absl::OkStatus();
}

Status Connection::Send(const Request& request, const std::vector<int>& fds) const {
  const int err = sys::SendPacket(socket_.get(), &request, sizeof(request), fds.data(), fds.size());
  if (err == 0) return absl::OkStatus();
  if (err == EPIPE || err == ECONNRESET || err == ENOTCONN || err == EAGAIN)
    return ErrnoStatus(EPIPE, "send to keeper");
  return ErrnoStatus(err, "send to keeper");
}

StatusOr<Packet> Connection::Receive() const {
  Packet packet;
  Reply raw;
  int fds[sys::kMaxPacketFds];
  sys::ReceivedPacket received;
  int err = sys::ReceivePacket(socket_.get(), &raw, sizeof(raw), fds, &received, MSG_DONTWAIT);
  // A keeper that died with unread requests: the error comes first, then what it had sent.
  if (err == ECONNRESET)
    err = sys::ReceivePacket(socket_.get(), &raw, sizeof(raw), fds, &received, MSG_DONTWAIT);
  if (err == EAGAIN) return absl::NotFoundError("no packet");
  if (err != 0) return ErrnoStatus(ECONNRESET, "receive from keeper");
  for (size_t i = 0; i < received.fd_count; ++i) packet.fds.emplace_back(fds[i]);
  if (received.size == 0) return absl::UnavailableError("keeper closed the connection");
  const int bad = received.truncated ? EMSGSIZE
                                     : CheckReply(&raw, static_cast<size_t>(received.size),
                                                  received.fd_count, &packet.reply);
  if (bad != 0) return ErrnoStatus(bad, "read the keeper's answer");
  return packet;
}

StatusOr<Packet> Connection::Exchange(Request request, const std::vector<int>& fds) const {
  static constexpr uint32_t kSequence = UINT32_MAX;  // never used by calls of many threads
  request.sequence = kSequence;
  const Status sent = Send(request, fds);
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(kAnswerMs);
  for (;;) {
    pollfd entry{socket_.get(), POLLIN, 0};
    if (poll(&entry, 1, MillisUntil(deadline)) == 0)
      return absl::UnavailableError(absl::StrCat("keeper (pid ", pid_, ") does not answer"));
    auto packet = Receive();
    if (packet.ok() && packet->reply.sequence == kSequence) return packet;
    // A refusal comes before the request was read, so it has no sequence.
    if (packet.ok() && packet->reply.type == ReplyType::kHello && packet->reply.error != 0)
      return packet;
    // A keeper that refused us has closed before we sent, but its answer is still there.
    if (!packet.ok() && !absl::IsNotFound(packet.status()))
      return sent.ok() ? packet.status() : sent;
  }
}

StatusOr<Greeting> OpenConnection(const KeeperOptions& options, int table, Deadline deadline) {
  const Deadline busy_until = std::min(deadline, Clock::now() + kBusyTime);
  for (;;) {
    auto connection = ConnectSocket(options.socket_dir);
    if (connection.ok()) {
      auto greeting = Greet(*std::move(connection), table);
      if (greeting.ok() || !absl::IsUnavailable(greeting.status())) return greeting;
      if (MillisUntil(busy_until) == 0) return greeting;
    } else if (ErrnoOf(connection.status()) != ECONNREFUSED) {
      return connection.status();
    } else if (options.spawn) {
      const Status spawned = SpawnKeeper(options, deadline);
      if (spawned.ok()) continue;
      if (!absl::IsUnavailable(spawned) || MillisUntil(deadline) == 0) return spawned;
    } else if (MillisUntil(deadline) == 0) {
      return connection.status();
    }
    Pause(deadline);
  }
}

}  // namespace crisp::keeper
