#include "cri/cli/stream_session.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "cri/cli/output.h"
#include "cri/cli/stream_socket.h"
#include "cri/cli/terminal.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace crisp::cli {
namespace {

constexpr char kIn = 0, kOut = 1, kErr = 2, kStatus = 3, kResize = 4;
constexpr char kHalfClose = '\xff';  // v5: {255, channel}
constexpr char kDetachFirst = 0x10, kDetachSecond = 0x11;

class Session {
 public:
  Session(StreamSocket socket, SignalPipe signals, const SessionStreams& streams)
      : socket_(std::move(socket)),
        signals_(std::move(signals)),
        streams_(streams),
        reading_(streams.in) {}

  StatusOr<int> Run() {
    SendSize();
    while (!ended_ && leave_ < 0) {
      RETURN_IF_ERROR(socket_.Flush());
      RETURN_IF_ERROR(Turn());
    }
    if (leave_ >= 0) return leave_;
    if (status_.empty()) return absl::UnavailableError("the connection to the runtime was lost");
    return ExitCodeOfStatus(status_);
  }

 private:
  Status Turn() {
    // While something waits to be sent nothing more is read: the memory stays small.
    const short want = socket_.Sending() ? POLLIN | POLLOUT : POLLIN;
    pollfd polls[] = {{socket_.fd(), want, 0},
                      {signals_.fd(), POLLIN, 0},
                      {reading_ && !socket_.Sending() ? 0 : -1, POLLIN, 0}};
    if (!first_ && poll(polls, 3, -1) < 0) {
      return errno == EINTR ? absl::OkStatus() : ErrnoStatus(errno, "wait for streams");
    }
    if (first_ || (polls[0].revents & ~POLLOUT) != 0) RETURN_IF_ERROR(OnSocket());
    first_ = false;
    if (polls[1].revents != 0) OnSignals();
    if (polls[2].revents != 0) OnInput();
    return absl::OkStatus();
  }

  Status OnSocket() {
    ASSIGN_OR_RETURN(const std::vector<WsMessage> messages, socket_.Receive(&ended_));
    for (const WsMessage& message : messages) {
      if (message.opcode >= kWsClose || message.data.empty()) continue;
      const absl::string_view data = absl::string_view(message.data).substr(1);
      if (message.data[0] == kOut) RETURN_IF_ERROR(WriteAll(1, data));
      if (message.data[0] == kErr) RETURN_IF_ERROR(WriteAll(2, data));
      if (message.data[0] == kStatus) status_.append(data.data(), data.size());
    }
    return absl::OkStatus();
  }

  void OnSignals() {
    while (const int sig = signals_.Next()) {
      if (sig == SIGWINCH)
        SendSize();
      else
        leave_ = 128 + sig;
    }
  }

  void SendSize() {
    const std::string size = streams_.tty ? WindowSizeJson(0) : "";
    if (!size.empty()) socket_.SendChannel(kResize, size);
  }

  void OnInput() {
    char buffer[32768];
    const ssize_t got = read(0, buffer, sizeof(buffer));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got > 0) {
      const absl::string_view data(buffer, static_cast<size_t>(got));
      if (streams_.detach_keys && Detaches(data)) leave_ = 0;
      return socket_.SendChannel(kIn, data);
    }
    reading_ = false;
    // Older protocols have no word for it; the program then waits for ever for its end of input.
    if (socket_.protocol() == "v5.channel.k8s.io")
      socket_.Send(kWsBinary, std::string{kHalfClose, kIn});
  }

  bool Detaches(absl::string_view data) {
    for (const char c : data) {
      if (c == kDetachSecond && last_ == kDetachFirst) return true;
      last_ = c;
    }
    return false;
  }

  StreamSocket socket_;
  SignalPipe signals_;
  const SessionStreams streams_;
  bool reading_, ended_ = false, first_ = true;
  int leave_ = -1;
  char last_ = 0;
  std::string status_;
};

}  // namespace

StatusOr<int> ExitCodeOfStatus(absl::string_view json) {
  ASSIGN_OR_RETURN(const Json status, ParseJson(json));
  if (JsonString(status, "status") == "Success") return 0;
  if (JsonString(status, "reason") == "NonZeroExitCode" && status.contains("details") &&
      status["details"].is_object() && status["details"].contains("causes")) {
    for (const Json& cause : status["details"]["causes"]) {
      int code = 0;
      if (JsonString(cause, "reason") == "ExitCode" &&
          absl::SimpleAtoi(JsonString(cause, "message"), &code))
        return code;
    }
  }
  return absl::UnknownError(Printable(JsonString(status, "message", "the runtime gave no reason")));
}

StatusOr<int> RunSession(const std::string& url, const SessionStreams& streams) {
  signal(SIGPIPE, SIG_IGN);
  ASSIGN_OR_RETURN(
      StreamSocket socket,
      StreamSocket::Open(url, {"v5.channel.k8s.io", "v4.channel.k8s.io"}, streams.ca_file));
  ASSIGN_OR_RETURN(SignalPipe signals, SignalPipe::Open());
  const RawTerminal raw(streams.tty ? 0 : -1);
  return Session(std::move(socket), std::move(signals), streams).Run();
}

}  // namespace crisp::cli
