// Clients that read a container's output beside its log: each gets what comes from now on, through
// a pipe of the daemon. They are fed from the log's staging memory, never from the container's
// pipe, so the log neither waits for them nor loses anything. docs/design/keeper.md "Attach".
//
// All of this is forgotten when the keeper dies: the pipes end, and with them the sessions.
#pragma once

#include <stdint.h>

#include "runtime/keeper/held.h"

namespace crisp::keeper {

class Attachments {
 public:
  static constexpr uint32_t kMax = 256;          // streams of all containers
  static constexpr uint64_t kMaxLag = 64 << 10;  // beyond it the container waits for the client
  // Epoll data of an attached pipe; those of the pump's own streams are far below.
  static constexpr uint64_t kToken = uint64_t{1} << 32;

  void Init(int epoll) { epoll_ = epoll; }
  // Owns `out`, the write end, now. `life`: borrowed; a dup is held as long as the client is fed.
  // `wait_ms`: how long the container may be held up by a client that is kMaxLag behind. Returns 0
  // or errno.
  int Add(uint32_t index, uint32_t stream, Held& held, int stage, int out, int life, int wait_ms);

  bool Any(const Held& held, uint32_t stream) const;
  // Gives on what is staged, as much as the pipes take now.
  void Feed(const Held& held, uint32_t stream);
  // The lowest byte of the staging that somebody still needs; its size if nobody does.
  uint64_t Lowest(const Held& held, uint32_t stream) const;
  // A client is so far behind that the container has to wait.
  bool Blocks(const Held& held, uint32_t stream) const;
  // The staging is empty again, and everybody has had all of it.
  void Rewind(const Held& held, uint32_t stream);
  // No more will come. Who is behind keeps the staging until he has it all, or his time is over.
  void End(const Held& held, uint32_t stream);

  // An event of pipe `entry`. True: it belongs to a stream that lives, which may go on.
  bool OnEvent(uint32_t entry, uint32_t events, uint32_t* index, uint32_t* stream);
  int64_t NextDeadline() const;  // monotonic; INT64_MAX: none
  // Cuts one client off whose time is over; false: none. `index` is kSlots if its stream has ended.
  bool Expire(int64_t now, uint32_t* index, uint32_t* stream);
  // Gives the buffer's memory back.
  static void Rest();

 private:
  struct Entry {
    int out_plus_one;    // 0: free
    int stage_plus_one;  // a dup: outlives the stream
    int life_plus_one;
    uint32_t index, stream;
    const Held* held;  // null: the stream has ended at `end`
    uint64_t cursor, end;
    int64_t wait_nanos;
    int64_t deadline;  // 0: not behind
    bool armed;        // waits for room
  };
  bool Matches(const Entry& entry, const Held& held, uint32_t stream) const {
    return entry.out_plus_one > 0 && entry.held == &held && entry.stream == stream;
  }
  static uint64_t EndOf(const Entry& entry) {
    return entry.held ? entry.held->staged[entry.stream] : entry.end;
  }
  void Push(Entry& entry);
  void Arm(Entry& entry, bool on);
  void Close(Entry& entry);

  int epoll_ = -1;
  uint32_t count_ = 0;
  Entry entries_[kMax] = {};
};

}  // namespace crisp::keeper
