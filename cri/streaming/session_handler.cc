#include "cri/streaming/session_handler.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/stages.h"

namespace crisp::streaming {
namespace {

constexpr size_t kMaxEarly = 16 << 10;
constexpr int64_t kMaxStretch = 1 << 20;  // one data frame; SPDY counts with 24 bits
constexpr int64_t kMinStretch = 4096;     // below that a copy costs less than a second system call

void MakeNonBlocking(const UniqueFd& fd) {
  if (fd.valid()) fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

bool IsPipe(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode);
}

int64_t Waiting(const UniqueFd& fd) {
  int n = 0;
  return fd.valid() && ioctl(fd.get(), FIONREAD, &n) == 0 ? n : 0;
}

}  // namespace

SessionHandler::SessionHandler(StreamRequest request, StreamBackend* backend, HandlerParts parts,
                               int version, bool by_channel)
    : request_(std::move(request)),
      backend_(backend),
      parts_(parts),
      version_(version),
      by_channel_(by_channel) {
  streams_[kIn].wanted = request_.in;
  streams_[kOut].wanted = request_.out;
  streams_[kErr].wanted = request_.err && !request_.tty;
  streams_[kError].wanted = true;
  streams_[kResize].wanted = request_.tty && version_ >= 3;  // v1 and v2 had none
  setup_end_ = MonotonicNanos() + int64_t{parts_.setup_ms} * 1'000'000;
}

void SessionHandler::Start() {
  if (!by_channel_) return;
  int lowest = kError;
  for (const int role : {kErr, kOut})
    if (streams_[role].wanted) lowest = role;
  for (int role = 0; role < kRoles; role++) {
    streams_[role].open = streams_[role].wanted;
    streams_[role].id = static_cast<uint32_t>(role);
  }
  // Old clients take this for the sign that the connection stands.
  parts_.protocol->Data(static_cast<uint32_t>(lowest), "", parts_.output->buffer());
  Launch();
}

bool SessionHandler::OnOpen(uint32_t id, const HeaderList& headers) {
  static constexpr absl::string_view kNames[] = {"stdin", "stdout", "stderr", "error", "resize"};
  for (const auto& [name, value] : headers) {
    if (name != "streamtype") continue;
    const auto* found = std::find(std::begin(kNames), std::end(kNames), value);
    if (found == std::end(kNames)) return false;
    Stream& stream = streams_[found - std::begin(kNames)];
    if (!stream.wanted || stream.open) return false;
    stream.open = true;
    stream.id = id;
    return true;
  }
  return false;
}

// After SYN_REPLY went out, so that the last one does not wait for the launch.
void SessionHandler::AfterInput() {
  if (session_ == nullptr && !done_ && Complete()) Launch();
  WindowSize size;
  if (session_ != nullptr && resize_.Take(&size)) session_->Resize(size.width, size.height);
}

bool SessionHandler::Complete() const {
  return std::all_of(std::begin(streams_), std::end(streams_),
                     [](const Stream& stream) { return stream.open || !stream.wanted; });
}

void SessionHandler::Launch() {
  auto session =
      request_.kind == StreamKind::kExec ? backend_->Exec(request_) : backend_->Attach(request_);
  if (!session.ok()) {
    Finish(session.status());
    return;
  }
  session_ = *std::move(session);
  for (const UniqueFd* fd : {&session_->in, &session_->out, &session_->err}) MakeNonBlocking(*fd);
  if (!early_.empty()) early_.erase(0, WriteIn(early_));
  if (early_.empty() && in_ending_) EndIn();
  if (!session_->out.valid()) EndOutput(&session_->out, kOut);
  if (!session_->err.valid()) EndOutput(&session_->err, kErr);
}

SessionHandler::Role SessionHandler::RoleOf(uint32_t id) const {
  for (int role = 0; role < kRoles; role++)
    if (streams_[role].open && streams_[role].id == id) return static_cast<Role>(role);
  return kRoles;
}

size_t SessionHandler::OnData(uint32_t id, absl::string_view bytes) {
  const Role role = RoleOf(id);
  if (role == kResize) resize_.Feed(bytes);
  if (role != kIn || streams_[kIn].ended || in_ending_ || done_) return bytes.size();
  if (session_ == nullptr) {
    const size_t n = std::min(bytes.size(), kMaxEarly - early_.size());
    early_.append(bytes.data(), n);
    return n;
  }
  return early_.empty() ? WriteIn(bytes) : 0;
}

// A process that closed its stdin, or ended, wants nothing more: then all is taken and dropped.
size_t SessionHandler::WriteIn(absl::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size() && session_->in.valid()) {
    const ssize_t n = write(session_->in.get(), bytes.data() + done, bytes.size() - done);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      in_full_ = true;
      return done;
    } else if (errno != EINTR) {
      session_->in.Reset();
    }
  }
  in_full_ = false;
  return bytes.size();
}

void SessionHandler::OnEnd(uint32_t id) {
  if (RoleOf(id) != kIn || streams_[kIn].ended) return;
  if (session_ == nullptr || !early_.empty())
    in_ending_ = true;
  else
    EndIn();
}

void SessionHandler::EndIn() {
  in_ending_ = in_full_ = false;
  if (std::exchange(streams_[kIn].ended, true)) return;
  session_->in.Reset();
  session_->StdinEnded();
  leaving_ = session_->EndsWithStdin();
}

void SessionHandler::OnReset(uint32_t id) {
  const Role role = RoleOf(id);
  if (role == kIn) OnEnd(id);
  if (role == kError) done_ = true;  // nobody is left to tell
  if (session_ == nullptr || (role != kOut && role != kErr)) return;
  UniqueFd& fd = role == kOut ? session_->out : session_->err;
  streams_[role].ended = true;
  // Bytes that a frame was already announced for still have to come from it.
  if (!parts_.output->splicing()) fd.Reset();
}

void SessionHandler::Watch(std::vector<pollfd>* fds) {
  const bool room = parts_.output->empty();
  const auto add = [&](const UniqueFd* fd, int events) {
    fds->push_back({fd == nullptr || events < 0 ? -1 : fd->get(), static_cast<short>(events), 0});
  };
  StreamSession* s = session_.get();
  if (s == nullptr || done_) {
    for (int i = 0; i < 4; i++) add(nullptr, 0);
    return;
  }
  add(&s->in, in_full_ ? POLLOUT : -1);
  add(&s->out, room ? POLLIN : -1);
  add(&s->err, room ? POLLIN : -1);
  fds->push_back({exited_ ? -1 : s->ended_fd(), POLLIN, 0});
}

void SessionHandler::Ready(const pollfd* fds) {
  if (done_) return;
  if (session_ == nullptr) {
    if (MonotonicNanos() >= setup_end_)
      Finish(absl::DeadlineExceededError("wait for the client's streams: not all of them came"));
    return;
  }
  if (fds[0].revents != 0) {
    in_full_ = false;
    if (!early_.empty()) early_.erase(0, WriteIn(early_));
    if (early_.empty() && in_ending_) EndIn();
  }
  if (fds[1].revents != 0) Pump(&session_->out, kOut);
  if (fds[2].revents != 0 && parts_.output->size() < kPiece) Pump(&session_->err, kErr);
  if (fds[3].revents != 0 && !exited_) OnExit();
  Settle();
}

void SessionHandler::Pump(UniqueFd* fd, Role role) {
  if (parts_.output->splicing()) return;
  const int64_t waiting = std::min<int64_t>(Waiting(*fd), kMaxStretch);
  if (!streams_[role].ended && parts_.protocol->raw() && waiting >= kMinStretch &&
      IsPipe(fd->get())) {
    parts_.protocol->DataHead(streams_[role].id, static_cast<size_t>(waiting),
                              parts_.output->buffer());
    parts_.output->Splice(fd->get(), static_cast<size_t>(waiting));
    owed_[role] -= waiting;
    return;
  }
  char buffer[kPiece];
  const ssize_t n = read(fd->get(), buffer, parts_.protocol->raw() ? kPiece : kCodedPiece);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {  // a terminal's end is EIO
    EndOutput(fd, role);
    return;
  }
  owed_[role] -= n;
  if (!streams_[role].ended)
    parts_.protocol->Data(streams_[role].id, {buffer, static_cast<size_t>(n)},
                          parts_.output->buffer());
}

void SessionHandler::EndOutput(UniqueFd* fd, Role role) {
  fd->Reset();
  Stream& stream = streams_[role];
  if (stream.open && !std::exchange(stream.ended, true))
    parts_.protocol->End(stream.id, parts_.output->buffer());
}

void SessionHandler::OnExit() {
  exited_ = true;
  session_->in.Reset();
  in_full_ = false;
  early_.clear();
  owed_[kOut] = Waiting(session_->out);
  owed_[kErr] = Waiting(session_->err);
  drain_end_ = MonotonicNanos() + int64_t{parts_.drain_ms} * 1'000'000;
}

// What the process wrote before its exit always arrives, however slow the client; a child that
// still holds the output gets drain_ms.
void SessionHandler::Settle() {
  if (leaving_ && !exited_ && !done_ && !parts_.output->splicing()) {
    Finish(0);
    return;
  }
  if (!exited_ || done_) return;
  const bool drained = MonotonicNanos() >= drain_end_;
  const auto over = [&](const UniqueFd& fd, Role role) {
    return !fd.valid() || (drained && (owed_[role] <= 0 || Waiting(fd) == 0));
  };
  if (!over(session_->out, kOut) || !over(session_->err, kErr) || parts_.output->splicing()) return;
  EndOutput(&session_->out, kOut);
  EndOutput(&session_->err, kErr);
  Finish(session_->Result());
}

void SessionHandler::Finish(const StatusOr<int>& result) {
  std::string* out = parts_.output->buffer();
  for (const int role : {kOut, kErr})
    if (streams_[role].open && !std::exchange(streams_[role].ended, true))
      parts_.protocol->End(streams_[role].id, out);
  if (streams_[kError].open) {
    const std::string text = EndText(result, version_);
    if (!text.empty()) parts_.protocol->Data(streams_[kError].id, text, out);
    parts_.protocol->End(streams_[kError].id, out);
  }
  done_ = true;
}

int64_t SessionHandler::deadline() const {
  if (done_) return INT64_MAX;
  if (session_ == nullptr) return setup_end_;
  if (leaving_ && !exited_ && !parts_.output->splicing()) return 0;
  // While the client takes its time over the last bytes there is nothing to wake for.
  return exited_ && parts_.output->empty() ? drain_end_ : INT64_MAX;
}

}  // namespace crisp::streaming
