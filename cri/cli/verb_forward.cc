// port-forward: a listener of ours for each port, and for each of its connections a stream into the
// pod.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cri/cli/objects.h"
#include "cri/cli/output.h"
#include "cri/cli/stream_socket.h"
#include "cri/cli/verb.h"
#include "runtime/base/files.h"

namespace crisp::cli {
namespace {

constexpr char kData = 0, kError = 1;
// The channel protocol cannot say that our side has ended, so a pod that stays silent is not waited
// for without end.
constexpr int kAfterEndMs = 10000;

struct Forward {
  uint16_t local = 0, remote = 0;
};

StatusOr<Forward> ParseForward(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  uint32_t numbers[2] = {};
  const bool good = parts.size() <= 2 && absl::SimpleAtoi(parts.front(), &numbers[0]) &&
                    absl::SimpleAtoi(parts.back(), &numbers[1]) && numbers[0] <= 65535 &&
                    numbers[1] >= 1 && numbers[1] <= 65535;
  if (!good) return InvalidField("port", text, "must be PORT or LOCAL:PORT; LOCAL 0: any");
  return Forward{static_cast<uint16_t>(numbers[0]), static_cast<uint16_t>(numbers[1])};
}

StatusOr<UniqueFd> Listen(Forward* forward) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(forward->local);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (!fd.valid() || bind(fd.get(), any, size) != 0 || listen(fd.get(), 64) != 0 ||
      getsockname(fd.get(), any, &size) != 0)
    return ErrnoStatus(errno, "listen on 127.0.0.1:", forward->local);
  forward->local = ntohs(address.sin_port);
  return fd;
}

// One connection; each channel begins with its port as two bytes.
class Pump {
 public:
  Pump(UniqueFd local, StreamSocket remote)
      : local_(std::move(local)), remote_(std::move(remote)) {}

  Status Run() {
    while (!ended_) {
      RETURN_IF_ERROR(remote_.Flush());
      RETURN_IF_ERROR(Turn());
    }
    if (error_.empty()) return absl::OkStatus();
    return absl::UnavailableError(Printable(error_));
  }

 private:
  Status Turn() {
    const short want = remote_.Sending() ? POLLIN | POLLOUT : POLLIN;
    pollfd polls[] = {{remote_.fd(), want, 0},
                      {reading_ && !remote_.Sending() ? local_.get() : -1, POLLIN, 0}};
    const int ready = first_ ? 1 : poll(polls, 2, reading_ ? -1 : kAfterEndMs);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "wait for the connection");
    if (ready == 0) ended_ = true;
    if (first_ || (polls[0].revents & ~POLLOUT) != 0) RETURN_IF_ERROR(OnRemote());
    first_ = false;
    if (polls[1].revents != 0) OnLocal();
    return absl::OkStatus();
  }

  void OnLocal() {
    char buffer[32768];
    const ssize_t got = read(local_.get(), buffer, sizeof(buffer));
    if (got > 0)
      return remote_.SendChannel(kData, absl::string_view(buffer, static_cast<size_t>(got)));
    if (got < 0 && errno != EINTR) ended_ = true;
    if (got == 0) reading_ = false;
  }

  Status OnRemote() {
    ASSIGN_OR_RETURN(const std::vector<WsMessage> messages, remote_.Receive(&ended_));
    for (const WsMessage& message : messages) {
      if (message.opcode >= kWsClose || message.data.empty()) continue;
      const char channel = message.data[0];
      if (channel != kData && channel != kError) continue;
      absl::string_view data = absl::string_view(message.data).substr(1);
      size_t& head = head_[static_cast<size_t>(channel)];
      const size_t skip = std::min(head, data.size());
      head -= skip;
      data.remove_prefix(skip);
      if (channel == kData) RETURN_IF_ERROR(WriteAll(local_.get(), data));
      if (channel == kError) error_.append(data.data(), data.size());
      // An error is the end of its connection.
      ended_ = ended_ || !error_.empty();
    }
    return absl::OkStatus();
  }

  UniqueFd local_;
  StreamSocket remote_;
  size_t head_[2] = {2, 2};
  bool reading_ = true, ended_ = false, first_ = true;
  std::string error_;
};

Status Serve(CriClient& client, const std::string& pod, uint16_t port, const std::string& ca,
             UniqueFd local) {
  v1::PortForwardRequest request;
  request.set_pod_sandbox_id(pod);
  request.add_port(port);
  ASSIGN_OR_RETURN(const auto response, client.PortForward(request));
  ASSIGN_OR_RETURN(StreamSocket remote,
                   StreamSocket::Open(response.url(), {"v4.channel.k8s.io"}, ca));
  return Pump(std::move(local), std::move(remote)).Run();
}

void Accept(CriClient& client, const std::string& pod, uint16_t port, const std::string& ca,
            int listener) {
  UniqueFd local(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!local.valid()) return;
  std::thread([&client, pod, port, ca, fd = local.Release()] {
    const Status served = Serve(client, pod, port, ca, UniqueFd(fd));
    if (!served.ok())
      (void)WriteAll(2, absl::StrCat("crisp: port-forward: ", served.message(), "\n"));
  }).detach();
}

// The pod's id of a pod, or of a container's pod.
StatusOr<std::string> PodOf(CriClient& client, const std::string& text) {
  const auto pod = FindPod(client, text);
  if (pod.ok()) return pod->id();
  ASSIGN_OR_RETURN(const v1::Container container, FindContainer(client, text));
  return container.pod_sandbox_id();
}

}  // namespace

StatusOr<int> RunPortForward(const Invocation& call) {
  signal(SIGPIPE, SIG_IGN);
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const std::string pod, PodOf(*client, call.args[0]));
  std::vector<UniqueFd> listeners;
  std::vector<Forward> forwards;
  std::vector<pollfd> polls;
  for (size_t i = 1; i < call.args.size(); ++i) {
    ASSIGN_OR_RETURN(Forward forward, ParseForward(call.args[i]));
    ASSIGN_OR_RETURN(UniqueFd listener, Listen(&forward));
    Print(absl::StrCat("127.0.0.1:", forward.local, " -> ", forward.remote, "\n"));
    polls.push_back({listener.get(), POLLIN, 0});
    listeners.push_back(std::move(listener));
    forwards.push_back(forward);
  }
  // Until a signal ends us: there is nothing to undo.
  for (;;) {
    if (poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR)
      return ErrnoStatus(errno, "wait for connections");
    for (size_t i = 0; i < polls.size(); ++i)
      if (polls[i].revents != 0)
        Accept(*client, pod, forwards[i].remote, call.Get("ca"), polls[i].fd);
  }
}

}  // namespace crisp::cli
