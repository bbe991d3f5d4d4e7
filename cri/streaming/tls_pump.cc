#include "cri/streaming/tls_pump.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/stages.h"

namespace crisp::streaming {
namespace {

constexpr int kLastBytesMs = 60'000;  // once the plain side has ended, from progress to progress
constexpr int kStuckMs = 5'000;       // a client that left behind bytes which nobody takes
constexpr int kLingerMs = 2'000;      // for the client to close after us

int64_t After(int ms) { return MonotonicNanos() + int64_t{ms} * 1'000'000; }

int MillisUntil(int64_t deadline) {
  if (deadline == INT64_MAX) return -1;
  return static_cast<int>(
      std::clamp<int64_t>((deadline - MonotonicNanos() + 999'999) / 1'000'000, 0, 3'600'000));
}

bool Again() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

void AwaitClientsEnd(int socket) {
  shutdown(socket, SHUT_WR);
  const int64_t deadline = After(kLingerMs);
  for (char buffer[4096];;) {
    pollfd fd{socket, POLLIN, 0};
    if (poll(&fd, 1, MillisUntil(deadline)) <= 0) return;
    const ssize_t n = recv(socket, buffer, sizeof(buffer), 0);
    if (n == 0 || (n < 0 && !Again())) return;
  }
}

void TlsPump::Run() {
  while (Step() && Wait()) {
  }
  if (told_client_) AwaitClientsEnd(client_);
}

// Everything that can be done without waiting.
bool TlsPump::Step() {
  if (!FromClient() || !ToPlain() || !FromPlain() || !ToClient()) return false;
  return !told_client_;
}

TlsPump::Blocked TlsPump::Why(int result) const {
  const int error = api_.get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ) return Blocked::kRead;
  return error == SSL_ERROR_WANT_WRITE ? Blocked::kWrite : Blocked::kNo;
}

bool TlsPump::FromClient() {
  if (!in_.empty() || client_ended_) return true;
  api_.err_clear_error();
  const int n = api_.read(ssl_, in_.bytes, kRecord);
  in_.Fill(n);
  read_ = n > 0 ? Blocked::kNo : Why(n);
  client_ended_ = n <= 0 && api_.get_error(ssl_, n) == SSL_ERROR_ZERO_RETURN;
  return n > 0 || client_ended_ || read_ != Blocked::kNo;
}

bool TlsPump::ToPlain() {
  if (!in_.empty() && !plain_gone_) {
    const ssize_t n = send(plain_, in_.bytes + in_.at, in_.size(), MSG_NOSIGNAL);
    if (n < 0 && Again()) return true;
    plain_gone_ = n < 0;
    if (n > 0) in_.at += static_cast<size_t>(n);
    if (client_fin_) deadline_ = After(kStuckMs);
  }
  if (plain_gone_) in_.Fill(0);
  if (in_.empty() && client_ended_ && !std::exchange(told_plain_, true)) shutdown(plain_, SHUT_WR);
  return true;
}

bool TlsPump::FromPlain() {
  if (!out_.empty() || plain_ended_) return true;
  const ssize_t n = recv(plain_, out_.bytes, kRecord, 0);
  if (n < 0 && Again()) return true;
  out_.Fill(n);
  if (n > 0) return true;
  plain_ended_ = true;
  deadline_ = After(kLastBytesMs);
  return true;
}

bool TlsPump::ToClient() {
  write_ = Blocked::kNo;
  if (out_.empty()) return !plain_ended_ || EndToClient();
  api_.err_clear_error();
  const int n = api_.write(ssl_, out_.bytes + out_.at, static_cast<int>(out_.size()));
  if (n <= 0) {
    write_ = Why(n);
    return write_ != Blocked::kNo;
  }
  out_.at += static_cast<size_t>(n);
  if (plain_ended_) deadline_ = After(kLastBytesMs);
  return true;
}

bool TlsPump::EndToClient() {
  api_.err_clear_error();
  const int result = api_.shutdown(ssl_);
  told_client_ = result >= 0;
  if (told_client_) return true;
  write_ = Why(result);
  return write_ != Blocked::kNo;
}

// False: nothing can come any more, or the time is over.
bool TlsPump::Wait() {
  const auto events = [](Blocked blocked) { return blocked == Blocked::kWrite ? POLLOUT : POLLIN; };
  const bool reading = in_.empty() && !client_ended_;
  const bool sending = write_ != Blocked::kNo;
  int client = client_fin_ || client_ended_ ? 0 : POLLRDHUP;
  if (reading) client |= events(read_);
  if (sending) client |= events(write_);
  int plain = 0;
  if (out_.empty() && !plain_ended_) plain |= POLLIN;
  if (!in_.empty()) plain |= POLLOUT;
  // More may be had at once: TLS has a record in its buffer, or the other side took all.
  const bool busy = (reading && read_ == Blocked::kNo) || (!out_.empty() && !sending);
  pollfd fds[] = {{client_, static_cast<short>(client), 0},
                  {plain == 0 ? -1 : plain_, static_cast<short>(plain), 0}};
  const int ready = poll(fds, 2, busy ? 0 : MillisUntil(deadline_));
  if (ready < 0 && errno != EINTR) return false;
  if (ready == 0 && !busy && MonotonicNanos() >= deadline_) return false;
  if ((fds[0].revents & (POLLERR | POLLHUP)) != 0) return false;
  if ((fds[0].revents & POLLRDHUP) != 0 && !reading && !client_fin_) {
    client_fin_ = true;
    deadline_ = std::min(deadline_, After(kStuckMs));
  }
  return true;
}

}  // namespace crisp::streaming
