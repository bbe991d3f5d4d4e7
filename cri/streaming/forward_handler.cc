#include "cri/streaming/forward_handler.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "runtime/base/stages.h"

namespace crisp::streaming {
namespace {

constexpr int64_t kConnectNanos = 10'000'000'000;
constexpr size_t kMaxEarly = 16 << 10;
constexpr size_t kMaxRequestId = 64;
constexpr size_t kMaxMove = 1 << 20;  // one data frame
constexpr int kPipeSize = 256 << 10;
constexpr size_t kBulkBytes = 64 << 10;  // in that time
constexpr int64_t kBulkNanos = 1'000'000;
constexpr ssize_t kStillBulk = 16 << 10;
constexpr int kBulkWater = 128 << 10;

int ConnectLoopback(int fd, int family, uint16_t port) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  v4.sin_port = v6.sin6_port = htons(port);
  const bool four = family == AF_INET;
  const auto* where = four ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  return connect(fd, where, four ? sizeof(v4) : sizeof(v6)) == 0 ? 0 : errno;
}

int ErrorOf(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

}  // namespace

// Channels 2i and 2i+1 belong to the i-th port of the request; each begins with that port.
void ForwardHandler::Start() {
  if (!by_channel_) return;
  for (size_t i = 0; i < request_.ports.size() && i < 127; i++) {
    auto& pair = pairs_[next_++] = std::make_unique<Pair>();
    pair->port = request_.ports[i];
    const auto id = static_cast<uint32_t>(2 * i);
    pair->data_id = id;
    pair->error_id = id + 1;
    by_stream_[id] = by_stream_[id + 1] = pair.get();
    const std::string port = {static_cast<char>(pair->port & 0xff),
                              static_cast<char>(pair->port >> 8)};
    parts_.protocol->Data(id, port, parts_.output->buffer());
    parts_.protocol->Data(id + 1, port, parts_.output->buffer());
    Dial(pair.get(), AF_INET);
  }
}

bool ForwardHandler::OnOpen(uint32_t id, const HeaderList& headers) {
  std::string type, request_id;
  uint32_t port = 0;
  for (const auto& [name, value] : headers) {
    if (name == "streamtype") type = value;
    if (name == "requestid") request_id = value;
    if (name == "port" && !absl::SimpleAtoi(value, &port)) return false;
  }
  const bool error = type == "error";
  if ((!error && type != "data") || port < 1 || port > 65535 || request_id.size() > kMaxRequestId)
    return false;
  // Very old clients number nothing: their data stream follows its error stream.
  if (request_id.empty()) request_id = absl::StrCat("#", error ? id : id - 2);
  Pair* pair = Joining(request_id, static_cast<uint16_t>(port), error);
  if (pair == nullptr) return false;
  (error ? pair->error_id : pair->data_id) = id;
  by_stream_[id] = pair;
  pair->to_dial = pair->error_id >= 0 && pair->data_id >= 0;
  to_dial_ = to_dial_ || pair->to_dial;
  return true;
}

void ForwardHandler::AfterInput() {
  if (!std::exchange(to_dial_, false)) return;
  for (auto& [number, pair] : pairs_)
    if (std::exchange(pair->to_dial, false) && !pair->over) Dial(pair.get(), AF_INET);
}

ForwardHandler::Pair* ForwardHandler::Joining(const std::string& request_id, uint16_t port,
                                              bool error) {
  for (auto& [number, pair] : pairs_) {
    if (pair->over || pair->request_id != request_id) continue;
    if ((error ? pair->error_id : pair->data_id) >= 0 || pair->port != port) return nullptr;
    return pair.get();
  }
  if (pairs_.size() >= kMaxForwards) return nullptr;
  auto& pair = pairs_[next_++] = std::make_unique<Pair>();
  pair->request_id = request_id;
  pair->port = port;
  pair->deadline = MonotonicNanos() + int64_t{parts_.setup_ms} * 1'000'000;
  return pair.get();
}

void ForwardHandler::Dial(Pair* pair, int family) {
  pair->family = family;
  pair->deadline = MonotonicNanos() + kConnectNanos;
  auto fd = backend_->Socket(request_.id, family);
  if (!fd.ok() && family == AF_INET) {
    Fail(pair, fd.status().message());
    return;
  }
  if (fd.ok()) pair->fd = *std::move(fd);
  // A pod without IPv6 may not even have such sockets.
  const int error = fd.ok() ? ConnectLoopback(pair->fd.get(), family, pair->port) : EAFNOSUPPORT;
  pair->connecting = error == EINPROGRESS;
  if (error == 0)
    Connected(pair);
  else if (error != EINPROGRESS)
    Refused(pair, error);
}

// IPv4's answer is the one to tell: many pods have no IPv6.
void ForwardHandler::Refused(Pair* pair, int error) {
  if (pair->family == AF_INET) {
    pair->first_error = error;
    Dial(pair, AF_INET6);
    return;
  }
  Fail(pair, absl::StrCat("connect to port ", pair->port,
                          " on localhost: ", ErrnoText(pair->first_error)));
}

void ForwardHandler::Connected(Pair* pair) {
  pair->connecting = false;
  pair->deadline = 0;
  const int one = 1;
  setsockopt(pair->fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  OnWritable(pair);
}

// What waited goes first, then the client's end.
void ForwardHandler::OnWritable(Pair* pair) {
  pair->full = false;
  if (!pair->early.empty()) {
    const size_t n = Write(pair, pair->early);
    pair->early.erase(0, n);
    early_bytes_ -= n;
  }
  if (pair->early.empty() && pair->client_ended) EndTarget(pair);
}

ForwardHandler::Pair* ForwardHandler::PairOf(uint32_t id) {
  const auto found = by_stream_.find(id);
  return found == by_stream_.end() || found->second->over ? nullptr : found->second;
}

size_t ForwardHandler::OnData(uint32_t id, absl::string_view bytes) {
  Pair* pair = PairOf(id);
  if (pair == nullptr || id != pair->data_id || pair->client_ended) return bytes.size();
  if (pair->fd.valid() && !pair->connecting) return pair->early.empty() ? Write(pair, bytes) : 0;
  const size_t n = std::min(bytes.size(), kMaxEarly - early_bytes_);
  pair->early.append(bytes.data(), n);
  early_bytes_ += n;
  return n;
}

size_t ForwardHandler::Write(Pair* pair, absl::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = send(pair->fd.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      pair->full = true;
      return done;
    } else if (errno != EINTR) {
      pair->client_ended = true;  // the target reads no more, but may have something left to say
      return bytes.size();
    }
  }
  return done;
}

void ForwardHandler::OnEnd(uint32_t id) {
  Pair* pair = PairOf(id);
  if (pair == nullptr || id != pair->data_id || std::exchange(pair->client_ended, true)) return;
  if (pair->fd.valid() && !pair->connecting && pair->early.empty()) EndTarget(pair);
}

void ForwardHandler::EndTarget(Pair* pair) {
  shutdown(pair->fd.get(), SHUT_WR);
  CloseIfOver(pair);
}

void ForwardHandler::OnReset(uint32_t id) {
  Pair* pair = PairOf(id);
  if (pair == nullptr) return;
  if (id == pair->data_id && pair->error_id >= 0)
    parts_.protocol->End(static_cast<uint32_t>(pair->error_id), parts_.output->buffer());
  if (id == pair->data_id || pair->data_id < 0) pair->over = true;
}

void ForwardHandler::Watch(std::vector<pollfd>* fds) {
  Drop();
  watched_.clear();
  const bool room = parts_.output->empty();
  for (auto& [number, pair] : pairs_) {
    int events = 0;
    if (pair->connecting || pair->full) events |= POLLOUT;
    if (room && !pair->connecting && !pair->target_ended) events |= POLLIN;
    if (!pair->fd.valid() || events == 0) continue;
    watched_.push_back(pair.get());
    fds->push_back({pair->fd.get(), static_cast<short>(events), 0});
  }
}

void ForwardHandler::Ready(const pollfd* fds) {
  const size_t count = watched_.size();
  const int64_t now = MonotonicNanos();
  turn_++;
  for (size_t i = 0; i < count; i++) {
    const size_t at = (i + turn_) % count;
    Pair* pair = watched_[at];
    if (pair->over || (fds[at].revents == 0 && !pair->bulk)) continue;
    if (pair->connecting) {
      const int error = ErrorOf(pair->fd.get());
      if (error == 0)
        Connected(pair);
      else if (error == ECONNRESET)  // it stood, and was reset before we looked
        Break(pair);
      else
        Refused(pair, error);
      continue;
    }
    if (pair->full && (fds[at].revents & (POLLOUT | POLLERR | POLLHUP)) != 0) OnWritable(pair);
    const bool waited = pair->bulk && now >= pair->since + kBulkNanos;
    if ((fds[at].events & POLLIN) != 0 && ((fds[at].revents & ~POLLOUT) != 0 || waited) &&
        !pair->over && parts_.output->size() < 2 * kPiece)
      Pump(pair);
  }
  for (auto& [number, pair] : pairs_) {
    if (pair->over || pair->deadline == 0 || now < pair->deadline) continue;
    if (pair->connecting)
      Fail(pair.get(), absl::StrCat("connect to port ", pair->port, " on localhost: no answer"));
    else
      Fail(pair.get(), "the second stream of the pair did not come");
  }
}

void ForwardHandler::Pump(Pair* pair) {
  if (parts_.output->splicing()) return;  // there is one pipe
  if (pair->bulk && !no_splice_ && parts_.protocol->raw() && Move(pair)) return;
  Copy(pair);
}

void ForwardHandler::Copy(Pair* pair) {
  char buffer[kPiece];
  const ssize_t n = recv(pair->fd.get(), buffer, parts_.protocol->raw() ? kPiece : kCodedPiece, 0);
  const int error = n < 0 ? errno : 0;
  Judge(pair, n);
  if (n > 0)
    parts_.protocol->Data(static_cast<uint32_t>(pair->data_id), {buffer, static_cast<size_t>(n)},
                          parts_.output->buffer());
  else
    TargetSaid(pair, error);
}

// From socket to socket without a copy; false: it cannot be done here.
bool ForwardHandler::Move(Pair* pair) {
  if (!pipe_in_.valid()) {
    int ends[2];
    no_splice_ = pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0;
    if (no_splice_) return false;
    pipe_out_.Reset(ends[0]);
    pipe_in_.Reset(ends[1]);
    fcntl(pipe_in_.get(), F_SETPIPE_SZ, kPipeSize);  // a smaller one is slower, no more
  }
  const ssize_t n = splice(pair->fd.get(), nullptr, pipe_in_.get(), nullptr, kMaxMove,
                           SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  no_splice_ = n < 0 && errno == EINVAL;
  if (no_splice_) return false;
  const int error = n < 0 ? errno : 0;
  Judge(pair, n);
  if (n > 0) {
    parts_.protocol->DataHead(static_cast<uint32_t>(pair->data_id), static_cast<size_t>(n),
                              parts_.output->buffer());
    parts_.output->Splice(pipe_out_.get(), static_cast<size_t>(n));
  } else {
    TargetSaid(pair, error);
  }
  return true;
}

// A target that sends in small pieces would wake us for each. One that sends much is left alone
// until there is a lot, or a millisecond is over.
void ForwardHandler::Judge(Pair* pair, ssize_t n) {
  const int64_t now = MonotonicNanos();
  if (pair->bulk) {
    SetBulk(pair, n >= kStillBulk);
  } else {
    if (now - pair->since > kBulkNanos) pair->recent = 0;
    if (pair->recent == 0) pair->since = now;
    pair->recent += n > 0 ? static_cast<size_t>(n) : 0;
    if (pair->recent >= kBulkBytes) SetBulk(pair, true);
  }
  if (pair->bulk) pair->since = now;
}

void ForwardHandler::SetBulk(Pair* pair, bool bulk) {
  if (std::exchange(pair->bulk, bulk) == bulk) return;
  pair->recent = 0;
  const int least = bulk ? kBulkWater : 1;
  setsockopt(pair->fd.get(), SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least));
}

// Nothing: its end, or an error.
void ForwardHandler::TargetSaid(Pair* pair, int error) {
  if (error == EAGAIN || error == EINTR) return;
  if (error != 0) {
    Break(pair);
    return;
  }
  pair->target_ended = true;
  parts_.protocol->End(static_cast<uint32_t>(pair->data_id), parts_.output->buffer());
  CloseIfOver(pair);
}

// Over channels a client cannot end its half: the target's end is the end.
void ForwardHandler::CloseIfOver(Pair* pair) {
  if (!pair->target_ended || (!pair->client_ended && !by_channel_) || pair->over) return;
  parts_.protocol->End(static_cast<uint32_t>(pair->error_id), parts_.output->buffer());
  pair->over = true;
}

// The text and then the end of both streams; the session goes on.
void ForwardHandler::Fail(Pair* pair, absl::string_view why) {
  std::string* out = parts_.output->buffer();
  if (pair->error_id >= 0) {
    const auto id = static_cast<uint32_t>(pair->error_id);
    parts_.protocol->Data(id, absl::StrCat("forward port ", pair->port, ": ", why), out);
    parts_.protocol->End(id, out);
  }
  if (pair->data_id >= 0) parts_.protocol->Reset(static_cast<uint32_t>(pair->data_id), out);
  pair->over = true;
}

// A reset by the target is told as a reset and not as an error: clients end the whole session over
// a text on the error stream.
void ForwardHandler::Break(Pair* pair) {
  parts_.protocol->Reset(static_cast<uint32_t>(pair->data_id), parts_.output->buffer());
  parts_.protocol->End(static_cast<uint32_t>(pair->error_id), parts_.output->buffer());
  pair->over = true;
}

void ForwardHandler::Drop() {
  for (auto it = pairs_.begin(); it != pairs_.end();) {
    const Pair& pair = *it->second;
    if (!pair.over) {
      ++it;
      continue;
    }
    early_bytes_ -= pair.early.size();
    for (const int64_t id : {pair.data_id, pair.error_id})
      if (id >= 0) by_stream_.erase(static_cast<uint32_t>(id));
    it = pairs_.erase(it);
  }
}

int64_t ForwardHandler::deadline() const {
  int64_t next = INT64_MAX;
  for (const auto& [number, pair] : pairs_) {
    if (pair->over) continue;
    if (pair->deadline != 0) next = std::min(next, pair->deadline);
    if (pair->bulk && parts_.output->empty()) next = std::min(next, pair->since + kBulkNanos);
  }
  return next;
}

// Over channels the connection is for those ports alone; otherwise more may always come.
bool ForwardHandler::done() const {
  if (!by_channel_) return false;
  return std::all_of(pairs_.begin(), pairs_.end(), [](const auto& p) { return p.second->over; });
}

}  // namespace crisp::streaming
