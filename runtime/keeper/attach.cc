#include "runtime/keeper/attach.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/sys/retry.h"

namespace crisp::keeper {
namespace {

constexpr size_t kChunk = 32 << 10;
alignas(4096) char chunk_bytes[kChunk];  // of the pump thread alone

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

int Attachments::Add(uint32_t index, uint32_t stream, Held& held, int stage, int out, int life,
                     int wait_ms) {
  Entry* entry = nullptr;
  for (Entry& each : entries_)
    if (each.out_plus_one == 0) entry = &each;
  if (!entry) {
    close(out);
    return EAGAIN;
  }
  fcntl(out, F_SETFL, O_WRONLY | O_NONBLOCK);
  *entry = Entry{};
  entry->out_plus_one = out + 1;
  entry->stage_plus_one = fcntl(stage, F_DUPFD_CLOEXEC, 3) + 1;
  entry->life_plus_one = fcntl(life, F_DUPFD_CLOEXEC, 3) + 1;
  entry->index = index;
  entry->stream = stream;
  entry->held = &held;
  entry->cursor = held.staged[stream];
  entry->wait_nanos = int64_t{wait_ms} * 1000000;
  ++count_;
  epoll_event event{};
  event.data.u64 = kToken | static_cast<uint64_t>(entry - entries_);
  if (entry->stage_plus_one > 0 && entry->life_plus_one > 0 &&
      epoll_ctl(epoll_, EPOLL_CTL_ADD, out, &event) == 0)
    return 0;
  const int err = errno;
  Close(*entry);
  return err;
}

bool Attachments::Any(const Held& held, uint32_t stream) const {
  if (count_ == 0) return false;
  for (const Entry& entry : entries_)
    if (Matches(entry, held, stream)) return true;
  return false;
}

void Attachments::Feed(const Held& held, uint32_t stream) {
  for (Entry& entry : entries_)
    if (Matches(entry, held, stream)) Push(entry);
}

void Attachments::Push(Entry& entry) {
  const uint64_t end = EndOf(entry);
  while (entry.cursor < end) {
    const uint64_t left = end - entry.cursor;
    const size_t size = left < kChunk ? static_cast<size_t>(left) : kChunk;
    const auto at = static_cast<off_t>(entry.cursor);
    const ssize_t got =
        sys::Retry([&] { return pread(entry.stage_plus_one - 1, chunk_bytes, size, at); });
    if (got <= 0) return Close(entry);
    const ssize_t written = sys::Retry(
        [&] { return write(entry.out_plus_one - 1, chunk_bytes, static_cast<size_t>(got)); });
    if (written < 0 && errno != EAGAIN) return Close(entry);  // the client is gone
    if (written < 0) break;
    entry.cursor += static_cast<uint64_t>(written);
  }
  if (!entry.held && entry.cursor == end) return Close(entry);
  const uint64_t lag = end - entry.cursor;
  Arm(entry, lag > 0);
  const bool late = lag >= kMaxLag || (lag > 0 && !entry.held);
  if (late && entry.deadline == 0) entry.deadline = Now() + entry.wait_nanos;
  if (lag < kMaxLag / 2 && entry.held) entry.deadline = 0;
}

void Attachments::Arm(Entry& entry, bool on) {
  if (entry.armed == on) return;
  entry.armed = on;
  epoll_event event{};
  event.events = on ? uint32_t{EPOLLOUT} : 0;  // a client that goes is an EPOLLERR either way
  event.data.u64 = kToken | static_cast<uint64_t>(&entry - entries_);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, entry.out_plus_one - 1, &event);
}

void Attachments::Close(Entry& entry) {
  // The daemon may still have the pipe: closing ours would not take it out of the epoll.
  epoll_ctl(epoll_, EPOLL_CTL_DEL, entry.out_plus_one - 1, nullptr);
  for (const int fd : {entry.out_plus_one, entry.stage_plus_one, entry.life_plus_one})
    if (fd > 0) close(fd - 1);
  entry = Entry{};
  --count_;
}

uint64_t Attachments::Lowest(const Held& held, uint32_t stream) const {
  uint64_t lowest = held.staged[stream];
  if (count_ == 0) return lowest;
  for (const Entry& entry : entries_)
    if (Matches(entry, held, stream) && entry.cursor < lowest) lowest = entry.cursor;
  return lowest;
}

// Once it waits, until the client has caught up by half: or each few bytes would be a round.
bool Attachments::Blocks(const Held& held, uint32_t stream) const {
  if (count_ == 0) return false;
  for (const Entry& entry : entries_)
    if (Matches(entry, held, stream) && entry.deadline != 0) return true;
  return false;
}

void Attachments::Rewind(const Held& held, uint32_t stream) {
  if (count_ == 0) return;
  for (Entry& entry : entries_)
    if (Matches(entry, held, stream)) entry.cursor = 0;
}

void Attachments::End(const Held& held, uint32_t stream) {
  if (count_ == 0) return;
  for (Entry& entry : entries_) {
    if (!Matches(entry, held, stream)) continue;
    entry.end = held.staged[stream];
    entry.held = nullptr;
    Push(entry);
  }
}

bool Attachments::OnEvent(uint32_t index_of_entry, uint32_t events, uint32_t* index,
                          uint32_t* stream) {
  Entry& entry = entries_[index_of_entry % kMax];
  if (entry.out_plus_one == 0) return false;
  *index = entry.index;
  *stream = entry.stream;
  const bool lives = entry.held != nullptr;
  if ((events & EPOLLERR) != 0) {
    Close(entry);
  } else {
    Push(entry);
  }
  return lives;
}

int64_t Attachments::NextDeadline() const {
  int64_t next = INT64_MAX;
  if (count_ == 0) return next;
  for (const Entry& entry : entries_)
    if (entry.deadline != 0 && entry.deadline < next) next = entry.deadline;
  return next;
}

bool Attachments::Expire(int64_t now, uint32_t* index, uint32_t* stream) {
  if (count_ == 0) return false;
  for (Entry& entry : entries_) {
    if (entry.deadline == 0 || entry.deadline > now) continue;
    *index = entry.held ? entry.index : kSlots;
    *stream = entry.stream;
    Close(entry);
    return true;
  }
  return false;
}

void Attachments::Rest() { madvise(chunk_bytes, sizeof(chunk_bytes), MADV_DONTNEED); }

}  // namespace crisp::keeper
