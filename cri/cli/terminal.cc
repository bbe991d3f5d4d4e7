#include "cri/cli/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace crisp::cli {
namespace {

int signal_write_end = -1;

void OnSignal(int sig) {
  const int before = errno;
  const auto byte = static_cast<unsigned char>(sig);
  if (write(signal_write_end, &byte, 1) < 0) {
    // Full: the reader has enough to do already.
  }
  errno = before;
}

}  // namespace

RawTerminal::RawTerminal(int fd) {
  if (tcgetattr(fd, &before_) != 0) return;
  termios raw = before_;
  cfmakeraw(&raw);
  if (tcsetattr(fd, TCSADRAIN, &raw) == 0) fd_ = fd;
}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) tcsetattr(fd_, TCSADRAIN, &before_);
}

std::string WindowSizeJson(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return "";
  return absl::StrCat("{\"Width\":", size.ws_col, ",\"Height\":", size.ws_row, "}");
}

StatusOr<SignalPipe> SignalPipe::Open() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return ErrnoStatus(errno, "make pipe");
  SignalPipe pipe;
  pipe.read_end_.Reset(ends[0]);
  signal_write_end = ends[1];  // as long as the process: a handler may use it at any time
  struct sigaction action {};
  action.sa_handler = OnSignal;
  for (const int sig : {SIGWINCH, SIGTERM, SIGHUP, SIGINT}) sigaction(sig, &action, nullptr);
  return pipe;
}

int SignalPipe::Next() {
  unsigned char byte = 0;
  return read(fd(), &byte, 1) == 1 ? byte : 0;
}

}  // namespace crisp::cli
