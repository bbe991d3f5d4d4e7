// The slot table: one memfd, mapped by keeper and daemon, that survives the death of either. A slot
// is all that must not be lost of a pod, container or exec; the descriptors are held by both
// processes beside it. Written by the keeper, except `acked` (the daemon); read by both.
//
// Stores happen in program order as the other process sees them (release), so each comment below
// says what is true if the writer dies between two of them.
#pragma once

#include <stdint.h>

#include <atomic>

#include "runtime/keeper/protocol.h"

namespace crisp::keeper {

inline constexpr int kUnknownWaitStatus = -1;  // nobody can tell

enum class SlotState : uint32_t {
  kFree,
  kHeld,       // pod
  kLaunching,  // set before the clone: a keeper that dies now leaves a visible trace
  kRunning,
  kExited,  // set after status and time
};

// Progress of one stream: pipe -> staging memfd -> log. The memfd's size is what was consumed from
// the pipe; `processed` is how much of it is in the log.
struct StreamState {
  std::atomic<uint64_t> processed;
  std::atomic<uint32_t> eof;  // or never there: nothing will come any more
  uint32_t reserved;
};

enum class BatchPhase : uint32_t {
  kNone,
  kRecorded,  // the range, time and offset are fixed: writing it again writes the same bytes
  kWritten,   // new_offset and lost are set too: only the counters remain to be taken over
};

// The one write to the log that may be under way.
struct LogBatch {
  std::atomic<BatchPhase> phase;
  uint32_t stream;
  uint64_t begin, end;  // of the stream's staging memfd
  int64_t time_nanos;
  uint64_t offset, new_offset;  // of the log file
  uint64_t lost;                // the slot's lost_bytes afterwards
  uint32_t generation;
  uint32_t reserved;
};

// Limits of a container's log, and what is used of them.
struct LogLimit {
  uint64_t file_bytes;  // no more in one log file; 0: no limit
  uint64_t rate_bytes;  // output taken into the log within one second of the clock; 0: no limit
  uint64_t second;      // of the last batch
  uint64_t used;        // of rate_bytes, in that second
  uint64_t dropped_bytes;
  uint32_t dropping;  // the last batch was dropped: its marker line is there
  uint32_t reserved;
};

// What the batch under way decides about the limits: fixed before its phase is kRecorded. All are
// values of afterwards, so taking them over twice changes nothing.
struct BatchLimit {
  uint32_t drop;  // the batch is not written
  uint32_t mark;  // but a line that says so
  uint64_t second, used, dropped_bytes;
};

struct Slot {
  std::atomic<SlotState> state;
  Kind kind;
  int32_t pid;
  int32_t wait_status;
  uint64_t pidfd_inode;  // identity beyond the number (R15)
  int64_t started_nanos;
  int64_t exited_nanos;
  std::atomic<uint32_t> acked;  // the daemon's only field
  uint32_t role_mask;           // what was handed over at launch
  uint32_t max_line;
  std::atomic<uint32_t> generation;  // of the log file; its offset is log_offset[generation & 1]
  std::atomic<uint64_t> log_offset[2];
  uint64_t lost_bytes;  // could not be written (ENOSPC, EIO)
  StreamState stream[2];
  LogBatch batch;
  char id[kIdSize];
  LogLimit limit;
  BatchLimit batch_limit;
  uint8_t reserved[512 - 176 - kIdSize - 48 - 32];
};
static_assert(sizeof(StreamState) == 16);
static_assert(sizeof(LogBatch) == 64);
static_assert(sizeof(LogLimit) == 48);
static_assert(sizeof(BatchLimit) == 32);
static_assert(sizeof(Slot) == 512);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

struct TableHead {
  uint32_t magic;
  uint16_t major, minor;
  uint32_t slot_size;
  uint32_t slots;
  // No slot at or above it was ever used: scans stop here, so untouched pages stay untouched.
  std::atomic<uint32_t> high_water;
  uint32_t reserved[123];
};
static_assert(sizeof(TableHead) == 512);

struct SlotTable {
  TableHead head;
  Slot slot[kSlots];
};

// Makes the memfd, sealed against resizing (so a mapping cannot SIGBUS). Returns fd or -errno.
int CreateTable();
// Maps a table that came from elsewhere after checking size, seals and head. Returns 0 or errno.
int MapTable(int fd, SlotTable** table);
void UnmapTable(SlotTable* table);

// Empties a slot; its state becomes kFree last.
void ClearSlot(Slot& slot);

inline bool LogsEnded(const Slot& slot) {
  return slot.stream[0].eof.load() != 0 && slot.stream[1].eof.load() != 0;
}

}  // namespace crisp::keeper
