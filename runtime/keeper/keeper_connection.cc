// Who is served: one daemon at a time, root, of a version that is understood.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/keeper.h"
#include "runtime/keeper/tokens.h"
#include "runtime/sys/clone.h"

namespace crisp::keeper {
namespace {

constexpr int kSendBuffer = 1 << 20;

bool IsReady(int fd, short events) {
  pollfd entry{fd, events, 0};
  return fd >= 0 && poll(&entry, 1, 0) > 0;
}

void Stamp(Reply& reply) {
  reply.magic = kMagic;
  reply.major = kMajor;
  reply.minor = kMinor;
}

void Refuse(int socket, int error, pid_t served) {
  Reply reply{};
  Stamp(reply);
  reply.type = ReplyType::kHello;
  reply.error = error;
  reply.pid = served;
  sys::SendPacket(socket, &reply, sizeof(reply), nullptr, 0, MSG_DONTWAIT);
  close(socket);
}

pid_t PeerOf(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != 0) return -1;
  return peer.pid;
}

}  // namespace

// A killed daemon is gone even while a child that it was about to exec still holds its socket.
bool Keeper::ClientIsGone() const {
  return IsReady(client_, POLLRDHUP) || IsReady(client_pidfd_, POLLIN);
}

void Keeper::OnConnect() {
  const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket < 0) return errno == EMFILE || errno == ENFILE ? RefuseWithSpare() : void();
  const pid_t peer = PeerOf(socket);
  if (peer < 0) return Refuse(socket, EPERM, 0);
  if (client_ >= 0 && !ClientIsGone()) return Refuse(socket, EBUSY, PeerOf(client_));
  CloseClient();
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
  if (Watch(socket, Token(Source::kClient, 0)) != 0) return Refuse(socket, ENOMEM, 0);
  client_ = socket;
  client_pidfd_ = peer > 0 ? sys::PidfdOpen(peer) : -1;
  ++connection_;
  had_client_ = true;
}

// Without a descriptor for it the connection would stay in the queue and wake us for ever.
void Keeper::RefuseWithSpare() {
  close(spare_);
  const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket >= 0) Refuse(socket, EMFILE, 0);
  spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void Keeper::CloseClient() {
  if (client_ < 0) return;
  Unwatch(client_);
  close(client_);
  if (client_pidfd_ >= 0) close(client_pidfd_);
  client_ = client_pidfd_ = -1;
  greeted_ = false;
  events_lost_ = false;
}

void Keeper::OnClient(uint32_t events) {
  if (client_ < 0) return;
  if ((events & EPOLLOUT) != 0) FlushEvents();
  if ((events & ~uint32_t{EPOLLOUT}) == 0) return;
  Fds fds;
  Request raw;
  Request request;
  sys::ReceivedPacket packet;
  const int err = sys::ReceivePacket(client_, &raw, sizeof(raw), fds.fd, &packet, MSG_DONTWAIT);
  if (err == EAGAIN) return;
  fds.count = err == 0 ? packet.fd_count : 0;
  if (err != 0 || packet.size <= 0) return CloseClient();
  // No room for its descriptors (those that came are closed): refuse it, keep the daemon.
  if (packet.truncated && packet.size == static_cast<ssize_t>(sizeof(raw)) && raw.magic == kMagic)
    return SendDone(raw.sequence, 0, EMFILE);
  if (packet.truncated) return CloseClient();
  size_t plan_fds = 0;
  const int bad =
      CheckRequest(&raw, static_cast<size_t>(packet.size), fds.count, &request, &plan_fds);
  if (bad == EBADMSG) return CloseClient();
  if (bad != 0) return SendDone(request.sequence, 0, bad);
  OnRequest(request, plan_fds, fds);
}

// Never waits for the daemon: one that does not read its answers is treated as gone. It finds
// everything again when it comes back. Of one that is gone, what it had asked before is still done:
// the receiving side comes to the end by itself.
void Keeper::Send(Reply& reply, const int* fds, size_t fd_count) {
  if (client_ < 0) return;
  Stamp(reply);
  if (sys::SendPacket(client_, &reply, sizeof(reply), fds, fd_count, MSG_DONTWAIT) == EAGAIN)
    CloseClient();
}

void Keeper::SendDone(uint32_t sequence, uint32_t index, int error) {
  Reply reply{};
  reply.type = ReplyType::kDone;
  reply.sequence = sequence;
  reply.slot = index;
  reply.error = error;
  Send(reply);
}

// Events come unasked, so many may meet a daemon that is stopped: then one "look at all" is enough.
void Keeper::SendEvent(ReplyType type, uint32_t index) {
  if (client_ < 0 || !greeted_ || events_lost_) return;
  Reply reply{};
  Stamp(reply);
  reply.type = type;
  reply.slot = index;
  const int err = sys::SendPacket(client_, &reply, sizeof(reply), nullptr, 0, MSG_DONTWAIT);
  if (err != EAGAIN) return;
  events_lost_ = true;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.u64 = Token(Source::kClient, 0);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, client_, &event);
}

void Keeper::FlushEvents() {
  if (!events_lost_) return;
  events_lost_ = false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = Token(Source::kClient, 0);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, client_, &event);
  SendEvent(ReplyType::kExited, kSlots);
}

}  // namespace crisp::keeper
