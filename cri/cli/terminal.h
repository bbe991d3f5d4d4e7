// Our own terminal: raw for the time of a session, its size, and the signals that end or change it.
#pragma once

#include <termios.h>

#include <cstdint>
#include <string>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cli {

class RawTerminal {
 public:
  // Raw until the end of the scope; nothing happens if `fd` is no terminal.
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  int fd_ = -1;
  termios before_{};
};

// {"Width":80,"Height":24} of the terminal; "" if it has none.
std::string WindowSizeJson(int fd);

// SIGWINCH, SIGTERM, SIGHUP and SIGINT as bytes of a pipe, so that poll sees them (gRPC has threads
// of its own, so a signalfd would miss some).
class SignalPipe {
 public:
  static StatusOr<SignalPipe> Open();
  int fd() const { return read_end_.get(); }
  int Next();  // the next signal, 0: none

 private:
  UniqueFd read_end_;
};

}  // namespace crisp::cli
