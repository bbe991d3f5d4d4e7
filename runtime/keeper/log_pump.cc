#include "runtime/keeper/log_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/log_format.h"
#include "runtime/sys/retry.h"

namespace crisp::keeper {
namespace {

constexpr size_t kWindow = 64 << 10;  // of one batch; a pipe's usual capacity
constexpr size_t kPunchStep = 256 << 10;
constexpr size_t kPage = 4096;
constexpr int kMaxDrainRounds = 20;  // a pipe holds at most 1 MiB (fs.pipe-max-size)
static_assert(kMaxLineLimit < kWindow, "an unfinished line must not fill the window");

// Of the pump thread alone.
alignas(4096) char window_bytes[kWindow];
alignas(4096) char line_bytes[kWindow];
static_assert(sizeof(line_bytes) >= kMaxLineLimit + kLineOverhead);

int64_t WallNanos() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

uint32_t SourceRole(uint32_t stream, const Held& held) {
  if (stream == 1) return kRoleStderr;
  return held.Get(kRolePty) >= 0 ? kRolePty : kRoleStdout;
}

constexpr uint32_t StageRole(uint32_t stream) { return kRoleStage0 + stream; }

// Returns how much of `size` reached the file.
size_t WriteAt(int fd, const char* data, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = sys::Retry(
        [&] { return pwrite(fd, data + done, size - done, static_cast<off_t>(offset + done)); });
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

bool ReadAt(int fd, char* data, size_t size, uint64_t offset) {
  return sys::Retry([&] { return pread(fd, data, size, static_cast<off_t>(offset)); }) ==
         static_cast<ssize_t>(size);
}

uint64_t SizeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

uint64_t Left(uint64_t limit, uint64_t used) {
  if (limit == 0) return UINT64_MAX;
  return limit > used ? limit - used : 0;
}

// Decides how much of the batch is written, or that it is dropped, from what the slot holds; the
// decision stands beside the batch before that is recorded. Returns the batch's size.
size_t ApplyLimit(Slot& slot, bool has_log, const char* data, size_t size) {
  const LogLimit& limit = slot.limit;
  BatchLimit& decision = slot.batch_limit;
  const auto second = static_cast<uint64_t>(slot.batch.time_nanos / 1000000000);
  const uint64_t used = second == limit.second ? limit.used : 0;
  decision = {0, 0, second, used, limit.dropped_bytes};
  if (!has_log || (limit.file_bytes == 0 && limit.rate_bytes == 0)) return size;
  const uint64_t rate_left = Left(limit.rate_bytes, used);
  const size_t fitting =
      FittingBytes(data, size, slot.max_line, rate_left, Left(limit.file_bytes, slot.batch.offset));
  decision.used += fitting;
  if (fitting > 0) return fitting;
  const bool rate = FittingBytes(data, size, slot.max_line, rate_left, UINT64_MAX) == 0;
  const LimitMark mark = rate ? LimitMark::kRate : LimitMark::kFile;
  decision.drop = 1;
  decision.mark = static_cast<uint32_t>(limit.dropping != 0 ? LimitMark::kNone : mark);
  decision.dropped_bytes += size;
  return size;
}

int ResultOf(ssize_t moved) { return moved < 0 ? -errno : static_cast<int>(moved); }

}  // namespace

int LogPump::Init(int epoll) {
  epoll_ = epoll;
  attachments_.Init(epoll);
  null_ = open("/dev/null", O_WRONLY | O_CLOEXEC);
  return null_ >= 0 ? 0 : errno;
}

void LogPump::HideFromForks() {
  madvise(window_bytes, sizeof(window_bytes), MADV_DONTFORK);
  madvise(line_bytes, sizeof(line_bytes), MADV_DONTFORK);
}

void LogPump::Start(uint32_t index, Slot& slot, Held& held) {
  held.paused = 0;
  for (uint32_t stream = 0; stream < 2; ++stream) {
    const int stage = held.Get(StageRole(stream));
    held.staged[stream] = stage >= 0 ? SizeOf(stage) : 0;
    held.punched[stream] = 0;
    // A reset that was interrupted: the memfd is empty again, its counter not yet.
    if (slot.stream[stream].processed.load() > held.staged[stream])
      slot.stream[stream].processed.store(held.staged[stream], std::memory_order_release);
  }
  FinishBatch(slot, held);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    const bool ended = slot.stream[stream].eof.load() != 0;
    if (ended || held.Get(SourceRole(stream, held)) < 0) {
      EndStream(stream, slot, held);
    } else {
      Process(stream, slot, held, false);
      Watch(index, stream, held);
      // What a dead keeper left in the pipe behind a tty makes no event of its own.
      if (held.Get(kRolePty) >= 0) Pump(stream, slot, held);
    }
  }
}

void LogPump::Watch(uint32_t index, uint32_t stream, Held& held) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = Token(index, stream);
  epoll_ctl(epoll_, EPOLL_CTL_ADD, held.Get(SourceRole(stream, held)), &event);
}

bool LogPump::Pump(uint32_t stream, Slot& slot, Held& held) {
  if (held.Get(SourceRole(stream, held)) < 0) return false;
  int moved = 0;
  const bool attached = attachments_.Any(held, stream);
  if (held.Get(kRoleLog) < 0 && held.staged[stream] == 0 && held.Get(kRolePty) < 0 && !attached) {
    moved = Discard(held.Get(SourceRole(stream, held)), nullptr);
  } else {
    moved = Fill(stream, held);
    if (moved < 0 && moved != -EAGAIN) {
      // No memory for staging: losing output, counted, is better than blocking the container.
      const int pipe = held.Get(stream == 0 && held.Get(kRolePty) >= 0 ? uint32_t{kRoleTtyRead}
                                                                       : SourceRole(stream, held));
      moved = Discard(pipe, &slot);
    } else {
      if (attached) attachments_.Feed(held, stream);
      Process(stream, slot, held, moved == 0);
      GiveBack(stream, slot, held, moved < static_cast<int>(kWindow));
    }
  }
  if (moved == 0) EndStream(stream, slot, held);
  if (attached && attachments_.Blocks(held, stream)) Pause(stream, held);
  return moved > 0;
}

int LogPump::Attach(uint32_t index, uint32_t stream, Held& held, int out, int life, int wait_ms) {
  const int stage = held.Get(StageRole(stream));
  if (held.Get(SourceRole(stream, held)) >= 0 && stage >= 0)
    return attachments_.Add(index, stream, held, stage, out, life, wait_ms);
  close(out);  // no such stream, or it has ended: that is what the client sees
  return 0;
}

// What is in the log is in the log; the container waits with its next words. Out of the epoll, not
// only without events: a hang-up would be reported all the time.
void LogPump::Pause(uint32_t stream, Held& held) {
  if ((held.paused & (1u << stream)) != 0) return;
  held.paused |= 1u << stream;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, held.Get(SourceRole(stream, held)), nullptr);
}

void LogPump::Settle(uint32_t index, uint32_t stream, Slot& slot, Held& held) {
  if (held.Get(SourceRole(stream, held)) < 0 || attachments_.Blocks(held, stream)) return;
  if ((held.paused & (1u << stream)) != 0) {
    held.paused &= ~(1u << stream);
    Watch(index, stream, held);
  }
  if (held.staged[stream] > 0) GiveBack(stream, slot, held, true);
}

int LogPump::Fill(uint32_t stream, Held& held) {
  const uint32_t source = SourceRole(stream, held);
  if (source == kRolePty) return FillFromTty(held);
  return SpliceToStage(stream, held, held.Get(source));
}

// A tty has its end at EIO, after its last byte; the pipe between never has one, we hold both ends.
int LogPump::FillFromTty(Held& held) {
  int moved = SpliceToStage(0, held, held.Get(kRoleTtyRead));  // left over by a dead keeper
  if (moved != -EAGAIN) return moved;
  pollfd master{held.Get(kRolePty), POLLIN, 0};
  if (poll(&master, 1, 0) <= 0) return -EAGAIN;  // the master may be in blocking mode
  if ((master.revents & POLLIN) == 0) return 0;
  // N_TTY hands out at most one page.
  moved = ResultOf(sys::Retry([&] {
    return splice(held.Get(kRolePty), nullptr, held.Get(kRoleTtyWrite), nullptr, kPage,
                  SPLICE_F_NONBLOCK);
  }));
  if (moved == -EAGAIN) return moved;
  if (moved <= 0) return 0;
  return SpliceToStage(0, held, held.Get(kRoleTtyRead));
}

int LogPump::SpliceToStage(uint32_t stream, Held& held, int pipe) {
  auto at = static_cast<off64_t>(held.staged[stream]);
  const int moved = ResultOf(sys::Retry([&] {
    return splice(pipe, nullptr, held.Get(StageRole(stream)), &at, kWindow, SPLICE_F_NONBLOCK);
  }));
  if (moved > 0) held.staged[stream] += static_cast<uint64_t>(moved);
  return moved;
}

int LogPump::Discard(int pipe, Slot* slot) {
  const int moved = ResultOf(sys::Retry(
      [&] { return splice(pipe, nullptr, null_, nullptr, kWindow, SPLICE_F_NONBLOCK); }));
  if (slot && moved > 0) slot->lost_bytes += static_cast<uint64_t>(moved);
  return moved;
}

void LogPump::Rest() {
  madvise(window_bytes, sizeof(window_bytes), MADV_DONTNEED);
  madvise(line_bytes, sizeof(line_bytes), MADV_DONTNEED);
  Attachments::Rest();
  rested_ = true;
}

void LogPump::Process(uint32_t stream, Slot& slot, Held& held, bool final) {
  while (ProcessWindow(stream, slot, held, final)) {
  }
}

bool LogPump::ProcessWindow(uint32_t stream, Slot& slot, Held& held, bool final) {
  const uint64_t begin = slot.stream[stream].processed.load();
  const uint64_t left = held.staged[stream] - begin;
  if (left == 0) return false;
  const size_t size = left < kWindow ? static_cast<size_t>(left) : kWindow;
  rested_ = false;
  if (!ReadAt(held.Get(StageRole(stream)), window_bytes, size, begin)) return false;
  const size_t writable = WritableBytes(window_bytes, size, slot.max_line, final && size == left);
  if (writable == 0) return false;
  const uint32_t generation = slot.generation.load();
  LogBatch& batch = slot.batch;
  batch.stream = stream;
  batch.begin = begin;
  batch.time_nanos = WallNanos();
  batch.offset = slot.log_offset[generation & 1].load();
  batch.generation = generation;
  batch.end = begin + ApplyLimit(slot, held.Get(kRoleLog) >= 0, window_bytes, writable);
  batch.phase.store(BatchPhase::kRecorded, std::memory_order_release);
  WriteBatch(slot, held.Get(kRoleLog), window_bytes);
  CommitBatch(slot);
  return true;
}

// A line in the place of dropped output; a torn one is cut off and not tried again.
void LogPump::WriteMark(Slot& slot, int log) {
  LogBatch& batch = slot.batch;
  batch.new_offset = batch.offset;
  batch.lost = slot.lost_bytes;
  const auto mark = static_cast<LimitMark>(slot.batch_limit.mark);
  if (log >= 0 && mark != LimitMark::kNone) {
    const uint64_t limit = mark == LimitMark::kFile ? slot.limit.file_bytes : slot.limit.rate_bytes;
    const size_t size = FormatMark(mark, limit, batch.time_nanos, batch.stream == 1, line_bytes);
    if (WriteAt(log, line_bytes, size, batch.offset) == size) {
      batch.new_offset += size;
    } else if (ftruncate(log, static_cast<off_t>(batch.offset)) != 0) {
      // The next line overwrites it.
    }
  }
  batch.phase.store(BatchPhase::kWritten, std::memory_order_release);
}

void LogPump::WriteBatch(Slot& slot, int log, const char* data) {
  if (slot.batch_limit.drop != 0) return WriteMark(slot, log);
  LogBatch& batch = slot.batch;
  const auto size = static_cast<size_t>(batch.end - batch.begin);
  LineFormatter lines(data, size, batch.time_nanos, batch.stream == 1, slot.max_line);
  uint64_t offset = batch.offset;
  uint64_t lost = 0;
  while (log >= 0) {
    const size_t before = lines.consumed();
    const size_t length = lines.Next(line_bytes, sizeof(line_bytes));
    if (length == 0) break;
    const size_t written = WriteAt(log, line_bytes, length, offset);
    offset += written;
    if (written == length) continue;
    // Disk full: keep the whole lines that arrived, cut the torn one, count the rest as lost.
    const void* end = memrchr(line_bytes, '\n', written);
    const size_t kept =
        end ? static_cast<size_t>(static_cast<const char*>(end) - line_bytes) + 1 : 0;
    LineFormatter again(data + before, size - before, batch.time_nanos, batch.stream == 1,
                        slot.max_line);
    again.Next(line_bytes, kept);
    lost = size - before - again.consumed();
    offset = offset - written + kept;
    if (ftruncate(log, static_cast<off_t>(offset)) != 0) break;  // the next line overwrites it
    break;
  }
  batch.new_offset = offset;
  batch.lost = slot.lost_bytes + lost;
  batch.phase.store(BatchPhase::kWritten, std::memory_order_release);
}

// Only takes over values of the record, so that it may run twice.
void LogPump::CommitBatch(Slot& slot) {
  LogBatch& batch = slot.batch;
  slot.lost_bytes = batch.lost;
  slot.limit.second = slot.batch_limit.second;
  slot.limit.used = slot.batch_limit.used;
  slot.limit.dropping = slot.batch_limit.drop;
  __atomic_store_n(&slot.limit.dropped_bytes, slot.batch_limit.dropped_bytes, __ATOMIC_RELAXED);
  slot.log_offset[batch.generation & 1].store(batch.new_offset, std::memory_order_release);
  slot.stream[batch.stream & 1].processed.store(batch.end, std::memory_order_release);
  batch.phase.store(BatchPhase::kNone, std::memory_order_release);
}

void LogPump::FinishBatch(Slot& slot, Held& held) {
  LogBatch& batch = slot.batch;
  if (batch.phase.load() == BatchPhase::kRecorded) {
    rested_ = false;
    const uint64_t size = batch.end - batch.begin;
    const int stage = held.Get(StageRole(batch.stream & 1));
    const bool readable = size <= kWindow && stage >= 0 &&
                          ReadAt(stage, window_bytes, static_cast<size_t>(size), batch.begin);
    WriteBatch(slot, readable ? held.Get(kRoleLog) : -1, window_bytes);
  }
  if (batch.phase.load() == BatchPhase::kWritten) CommitBatch(slot);
}

// Staging memory: reset when all is processed; else punched, as a busy writer never ends at a line.
void LogPump::GiveBack(uint32_t stream, Slot& slot, Held& held, bool idle) {
  const uint64_t processed = slot.stream[stream].processed.load();
  const int stage = held.Get(StageRole(stream));
  const uint64_t needed = attachments_.Lowest(held, stream);
  if (processed == 0) return;
  if (processed == held.staged[stream] && needed == processed) {
    if (ftruncate(stage, 0) != 0) return;
    held.staged[stream] = held.punched[stream] = 0;
    attachments_.Rewind(held, stream);
    slot.stream[stream].processed.store(0, std::memory_order_release);
    return;
  }
  const uint64_t until = (processed < needed ? processed : needed) & ~uint64_t{kPage - 1};
  if (until < held.punched[stream] + (idle ? kPage : kPunchStep)) return;
  if (fallocate(stage, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(held.punched[stream]),
                static_cast<off_t>(until - held.punched[stream])) == 0)
    held.punched[stream] = until;
}

void LogPump::EndStream(uint32_t stream, Slot& slot, Held& held) {
  slot.stream[stream].eof.store(1, std::memory_order_release);
  const uint32_t source = SourceRole(stream, held);
  // The daemon's dup keeps the file open, so closing ours does not take it out of the epoll.
  if (held.Get(source) >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, held.Get(source), nullptr);
  held.Close(source);
  attachments_.End(held, stream);
  held.Close(StageRole(stream));
  held.staged[stream] = 0;
  held.paused &= ~(1u << stream);
  if (source != kRolePty) return;
  held.Close(kRoleTtyRead);
  held.Close(kRoleTtyWrite);
}

void LogPump::Drain(Slot& slot, Held& held) {
  for (uint32_t stream = 0; stream < 2; ++stream)
    for (int round = 0; round < kMaxDrainRounds && Pump(stream, slot, held);) ++round;
}

void LogPump::Stop(Slot& slot, Held& held) {
  Drain(slot, held);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    if (held.Get(SourceRole(stream, held)) < 0) continue;
    Process(stream, slot, held, true);
    EndStream(stream, slot, held);
  }
}

void LogPump::SetLog(Slot& slot, Held& held, int log, uint64_t offset, uint32_t generation) {
  held.Close(kRoleLog);
  if (log >= 0) held.Set(kRoleLog, log);
  slot.log_offset[generation & 1].store(offset, std::memory_order_release);
  slot.generation.store(generation, std::memory_order_release);
}

}  // namespace crisp::keeper
