#include "cri/streaming/output.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace crisp::streaming {

void Output::Splice(int pipe, size_t n) {
  before_splice_ = buffer_.size();
  pipe_ = pipe;
  splice_left_ = n;
}

Status Output::Flush() {
  while (!empty()) {
    const bool head = before_splice_ != 0 || splice_left_ == 0;
    const auto more = head ? Send(splice_left_ == 0 ? buffer_.size() : before_splice_) : Move();
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
  }
  if (buffer_.capacity() > (64 << 10)) buffer_.shrink_to_fit();
  return absl::OkStatus();
}

StatusOr<bool> Output::Send(size_t limit) {
  const int more = splice_left_ != 0 ? MSG_MORE : 0;
  const ssize_t n = send(socket_, buffer_.data(), limit, MSG_NOSIGNAL | MSG_DONTWAIT | more);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && errno == EAGAIN) return false;
  if (n < 0) return ErrnoStatus(errno, "send to the client");
  buffer_.erase(0, static_cast<size_t>(n));
  if (before_splice_ != 0) before_splice_ -= static_cast<size_t>(n);
  sent_ += static_cast<uint64_t>(n);
  return true;
}

StatusOr<bool> Output::Move() {
  const ssize_t n =
      splice(pipe_, nullptr, socket_, nullptr, splice_left_, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && errno == EAGAIN) return false;
  if (n < 0) return ErrnoStatus(errno, "splice to the client");
  if (n == 0) return absl::InternalError("splice to the client: the pipe ended early");
  splice_left_ -= static_cast<size_t>(n);
  sent_ += static_cast<uint64_t>(n);
  return true;
}

}  // namespace crisp::streaming
