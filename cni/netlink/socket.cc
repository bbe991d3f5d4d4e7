#include "cni/netlink/socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "runtime/sys/retry.h"

namespace crisp::cni {
namespace {

constexpr size_t kBufferSize = 32 << 10;  // the kernel's dump chunk
constexpr int kAnswerTimeoutMs = 10'000;

StatusOr<UniqueFd> OpenFd(int protocol, uint32_t groups) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return ErrnoStatus(errno, "open netlink socket ", protocol);
  // Errors with text, and without an echo of the request.
  const int one = 1;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  self.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&self), sizeof(self)) != 0)
    return ErrnoStatus(errno, "bind netlink socket ", protocol);
  return fd;
}

// Passes messages of the given types. BPF loads are big-endian, netlink is host-endian.
Status AttachTypeFilter(int fd, const std::vector<uint16_t>& types) {
  std::vector<sock_filter> code;
  code.push_back(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)));
  for (size_t i = 0; i < types.size(); ++i) {
    const auto to_accept = static_cast<uint8_t>(types.size() - i);
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(types[i]), to_accept, 0));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, 0xffffffff));
  sock_fprog program{static_cast<uint16_t>(code.size()), code.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
    return ErrnoStatus(errno, "attach filter to netlink monitor");
  return absl::OkStatus();
}

Status ErrorOf(const NlError& error, absl::string_view what) {
  if (error.text.empty()) return ErrnoStatus(error.error, what);
  return ErrnoStatus(error.error, what, ": ", error.text);
}

}  // namespace

StatusOr<NlSocket> NlSocket::Open(int protocol) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFd(protocol, 0));
  return NlSocket(std::move(fd));
}

StatusOr<NlSocket> NlSocket::OpenMonitor(int protocol, uint32_t group,
                                         const std::vector<uint16_t>& types) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFd(protocol, 0));
  // The filter first: no foreign message may slip in before it.
  if (!types.empty()) RETURN_IF_ERROR(AttachTypeFilter(fd.get(), types));
  const int number = static_cast<int>(group);
  if (setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &number, sizeof(number)) != 0)
    return ErrnoStatus(errno, "join netlink group ", group);
  return NlSocket(std::move(fd));
}

Status NlSocket::Send(NlBatch& batch, absl::string_view what, size_t ack_index) {
  batch.Finish(sequence_, ack_index);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = sys::Retry([&] {
    return sendto(fd_.get(), batch.bytes().data(), batch.bytes().size(), 0,
                  reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  });
  if (sent < 0) return ErrnoStatus(errno, what, ": send netlink message");
  return absl::OkStatus();
}

long NlSocket::Receive() {
  buffer_.resize(kBufferSize);
  const ssize_t got = sys::Retry(
      [&] { return recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_TRUNC); });
  if (got < 0) return errno == EAGAIN ? 0 : -errno;
  return got > static_cast<ssize_t>(buffer_.size()) ? -EMSGSIZE : got;
}

Status NlSocket::Transact(NlBatch& batch, absl::string_view what) {
  return Transact(batch, what, batch.count() - 1);
}

Status NlSocket::Transact(NlBatch& batch, absl::string_view what, size_t ack_index) {
  const uint32_t first = sequence_;
  RETURN_IF_ERROR(Send(batch, what, ack_index));
  sequence_ += static_cast<uint32_t>(batch.count());
  Status result;
  bool acknowledged = false;
  while (true) {
    const long got = Receive();
    if (got < 0) return ErrnoStatus(static_cast<int>(-got), what, ": receive netlink answer");
    if (got == 0) break;
    absl::string_view rest(buffer_.data(), static_cast<size_t>(got));
    for (NlMessage message; NextMessage(&rest, &message);) {
      NlError error;
      // Differences of unsigned numbers: an answer to an older request is skipped.
      if (!ParseError(message, &error) || error.sequence - first >= batch.count()) continue;
      if (error.error != 0 && result.ok()) result = ErrorOf(error, what);
      if (error.sequence - first == ack_index) acknowledged = true;
    }
  }
  if (result.ok() && !acknowledged)
    return absl::InternalError(absl::StrCat(what, ": the kernel did not answer"));
  return result;
}

Status NlSocket::Query(NlBatch& request, absl::string_view what,
                       const std::function<void(const NlMessage&)>& each) {
  const uint32_t sequence = sequence_;
  RETURN_IF_ERROR(Send(request, what, 0));
  sequence_ += static_cast<uint32_t>(request.count());
  bool interrupted = false;
  while (true) {
    const long got = Receive();
    if (got < 0) return ErrnoStatus(static_cast<int>(-got), what, ": receive netlink answer");
    if (got == 0) {
      pollfd wait{fd_.get(), POLLIN, 0};
      if (sys::Retry([&] { return poll(&wait, 1, kAnswerTimeoutMs); }) == 1) continue;
      return absl::DeadlineExceededError(absl::StrCat(what, ": the kernel did not answer"));
    }
    absl::string_view rest(buffer_.data(), static_cast<size_t>(got));
    for (NlMessage message; NextMessage(&rest, &message);) {
      if (message.header.nlmsg_seq != sequence) continue;
      interrupted = interrupted || (message.header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      NlError error;
      if (ParseError(message, &error))
        return error.error != 0 ? ErrorOf(error, what) : absl::OkStatus();
      if (message.header.nlmsg_type == NLMSG_DONE) {
        if (!interrupted) return absl::OkStatus();
        return absl::AbortedError(absl::StrCat(what, ": changed while it was read"));
      }
      each(message);
    }
  }
}

bool NlSocket::Drain(const std::function<void(const NlMessage&)>& each) {
  bool complete = true;
  while (true) {
    const long got = Receive();
    if (got == 0) return complete;
    if (got < 0) {
      // ENOBUFS: the queue overflowed and goes on with what fits.
      complete = false;
      if (got != -ENOBUFS && got != -EMSGSIZE) return false;
      continue;
    }
    absl::string_view rest(buffer_.data(), static_cast<size_t>(got));
    for (NlMessage message; NextMessage(&rest, &message);) each(message);
  }
}

}  // namespace crisp::cni
