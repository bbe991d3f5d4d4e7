// One packet of a SOCK_SEQPACKET socket with file descriptors (SCM_RIGHTS; the kernel's limit is
// 253 a packet).
#pragma once

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "runtime/sys/retry.h"

namespace crisp::sys {

inline constexpr size_t kMaxPacketFds = 253;

// Sends all or nothing. Returns 0 or errno.
inline int SendPacket(int socket, const void* data, size_t size, const int* fds, size_t fd_count,
                      int flags = 0) {
  if (fd_count > kMaxPacketFds) return EINVAL;
  iovec part{const_cast<void*>(data), size};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPacketFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
  }
  const ssize_t sent = Retry([&] { return sendmsg(socket, &message, flags | MSG_NOSIGNAL); });
  return sent < 0 ? errno : 0;
}

struct ReceivedPacket {
  ssize_t size = -1;  // 0: the peer is gone
  size_t fd_count = 0;
  bool truncated = false;  // data or descriptors did not fit: drop the packet, close its fds
};

// Receives one packet; `fds` gets up to kMaxPacketFds descriptors, all CLOEXEC. Returns 0 or errno.
inline int ReceivePacket(int socket, void* data, size_t capacity, int* fds, ReceivedPacket* out,
                         int flags = 0) {
  iovec part{data, capacity};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPacketFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  out->size = Retry([&] { return recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC); });
  if (out->size < 0) return errno;
  out->fd_count = 0;
  out->truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    out->fd_count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(head), out->fd_count * sizeof(int));
  }
  return 0;
}

}  // namespace crisp::sys
