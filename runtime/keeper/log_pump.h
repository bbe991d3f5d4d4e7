// Moves what containers write into their log files, so that neither kill -9 of the keeper loses or
// repeats a byte. docs/design/keeper.md "Log pump" has the argument; in short:
//   splice(pipe -> staging memfd at its size)   the kernel counts what was consumed: st_size
//   record the batch in the slot                range, time, log offset
//   format, pwrite at the recorded offset       repeatable: same bytes at the same place
//   commit                                      processed, log offset
// One thread; bounded work per call, so that containers share it fairly.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/keeper/attach.h"
#include "runtime/keeper/held.h"

namespace crisp::keeper {

class LogPump {
 public:
  // `epoll`: where streams are registered, with Token(slot, stream) as data. Returns 0 or errno.
  int Init(int epoll);
  // Keeps the buffers, output of any container, out of the copy of our memory that an exec's
  // process has until its execve. For a process that does not pump in a fork.
  static void HideFromForks();
  static uint64_t Token(uint32_t slot, uint32_t stream) { return uint64_t{slot} * 2 + stream; }

  // A freshly launched or adopted container: finishes what a dead keeper had begun, then watches.
  void Start(uint32_t index, Slot& slot, Held& held);
  // One round for one stream: at most 64 KiB from the pipe. True: something was moved.
  bool Pump(uint32_t stream, Slot& slot, Held& held);
  // Until nothing is left now, at most about a pipe's largest capacity per stream.
  void Drain(Slot& slot, Held& held);
  // Drain, then write an unfinished line as the end of the stream would.
  void Stop(Slot& slot, Held& held);
  // Nothing was pumped for a while: gives the buffers' memory back until they are used again.
  void Rest();
  bool rested() const { return rested_; }
  // Owns `out` now: gets what comes on this stream from now on. Returns 0 or errno.
  int Attach(uint32_t index, uint32_t stream, Held& held, int out, int life, int wait_ms);
  // An attached client has read, or is cut off: the stream may go on.
  void Settle(uint32_t index, uint32_t stream, Slot& slot, Held& held);
  Attachments& attachments() { return attachments_; }
  const Attachments& attachments() const { return attachments_; }
  // From now on lines go to `log` (owned now; -1: dropped) at `offset`.
  void SetLog(Slot& slot, Held& held, int log, uint64_t offset, uint32_t generation);

 private:
  int Fill(uint32_t stream, Held& held);
  int FillFromTty(Held& held);
  int SpliceToStage(uint32_t stream, Held& held, int pipe);
  int Discard(int pipe, Slot* slot);
  void Process(uint32_t stream, Slot& slot, Held& held, bool final);
  bool ProcessWindow(uint32_t stream, Slot& slot, Held& held, bool final);
  void WriteBatch(Slot& slot, int log, const char* data);
  void WriteMark(Slot& slot, int log);
  void CommitBatch(Slot& slot);
  void FinishBatch(Slot& slot, Held& held);
  void GiveBack(uint32_t stream, Slot& slot, Held& held, bool idle);
  void EndStream(uint32_t stream, Slot& slot, Held& held);
  void Watch(uint32_t index, uint32_t stream, Held& held);
  void Pause(uint32_t stream, Held& held);

  Attachments attachments_;

  int epoll_ = -1;
  int null_ = -1;
  bool rested_ = true;
};

}  // namespace crisp::keeper
