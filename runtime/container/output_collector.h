// Reads what an exec writes until it is over.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

class OutputCollector {
 public:
  // `pidfd` is borrowed.
  OutputCollector(UniqueFd out, UniqueFd err, int pidfd, size_t cap);

  // Until the process has exited; DEADLINE_EXCEEDED at `deadline` (monotonic, 0: none).
  Status UntilExit(int64_t deadline_nanos);
  // The rest, until all writers are gone or `deadline`: a child of the exec may hold them open for
  // ever.
  void Drain(int64_t deadline_nanos);

  std::string TakeOut() { return std::move(streams_[0].text); }
  std::string TakeErr() { return std::move(streams_[1].text); }

 private:
  struct Stream {
    UniqueFd fd;
    std::string text;
  };
  // One poll: reads what is there. Returns false at the deadline.
  StatusOr<bool> Step(int64_t deadline_nanos, bool* exited);
  void Read(Stream* stream);

  Stream streams_[2];
  int pidfd_;
  size_t cap_;
};

}  // namespace crisp::runtime
