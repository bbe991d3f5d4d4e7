#include "runtime/container/stdio.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <vector>

#include "runtime/sys/scm_rights.h"

namespace crisp::runtime {
namespace {

constexpr uint32_t kKeepGroup = ~0u;

Status MakePipe(uint32_t uid, UniqueFd* read_end, UniqueFd* write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "make pipe");
  read_end->Reset(ends[0]);
  write_end->Reset(ends[1]);
  if (uid == 0 || fchown(ends[0], uid, kKeepGroup) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "give pipe to user ", uid);
}

Status OpenNull(UniqueFd* fd, int mode = O_RDONLY) {
  fd->Reset(open("/dev/null", mode | O_CLOEXEC));
  return fd->valid() ? absl::OkStatus() : ErrnoStatus(errno, "open /dev/null");
}

}  // namespace

StatusOr<Stdio> MakePipes(bool stdin_open, uint32_t uid) {
  return MakeExecPipes({stdin_open, true, true}, uid);
}

StatusOr<Stdio> MakeExecPipes(const StreamSet& streams, uint32_t uid) {
  Stdio stdio;
  RETURN_IF_ERROR(streams.in ? MakePipe(uid, &stdio.in, &stdio.in_write) : OpenNull(&stdio.in));
  RETURN_IF_ERROR(streams.out ? MakePipe(uid, &stdio.out_read, &stdio.out)
                              : OpenNull(&stdio.out, O_WRONLY));
  RETURN_IF_ERROR(streams.err ? MakePipe(uid, &stdio.err_read, &stdio.err)
                              : OpenNull(&stdio.err, O_WRONLY));
  return stdio;
}

StatusOr<Stdio> MakeExecTerminal() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return ErrnoStatus(errno, "make socket for a terminal");
  Stdio stdio;
  stdio.in.Reset(ends[0]);
  stdio.terminal_socket.Reset(ends[1]);
  return stdio;
}

StatusOr<UniqueFd> ReceiveTerminal(const Stdio& stdio) {
  char byte;
  int fds[sys::kMaxPacketFds];
  sys::ReceivedPacket packet;
  const int err = sys::ReceivePacket(stdio.terminal_socket.get(), &byte, sizeof(byte), fds, &packet,
                                     MSG_DONTWAIT);
  std::vector<UniqueFd> received;
  for (size_t i = 0; err == 0 && i < packet.fd_count; ++i) received.emplace_back(fds[i]);
  if (err != 0 || received.size() != 1) return ErrnoStatus(err ? err : EPROTO, "receive terminal");
  return std::move(received[0]);
}

StatusOr<Stdio> MakeTerminal(int pts, bool stdin_open, uint32_t uid) {
  Stdio stdio;
  stdio.terminal_master.Reset(openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!stdio.terminal_master.valid()) return ErrnoStatus(errno, "open terminal");
  const int master = stdio.terminal_master.get();
  const int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) return ErrnoStatus(errno, "unlock terminal");
  stdio.in.Reset(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!stdio.in.valid()) return ErrnoStatus(errno, "open terminal's other end");
  if (uid != 0 && fchown(stdio.in.get(), uid, kKeepGroup) != 0) {
    return ErrnoStatus(errno, "give terminal to user ", uid);
  }
  if (!stdin_open) return stdio;
  stdio.in_write.Reset(fcntl(master, F_DUPFD_CLOEXEC, 3));
  if (!stdio.in_write.valid()) return ErrnoStatus(errno, "duplicate terminal");
  return stdio;
}

}  // namespace crisp::runtime
