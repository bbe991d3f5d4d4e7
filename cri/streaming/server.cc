#include "cri/streaming/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <thread>

#include "cri/streaming/connection.h"
#include "cri/streaming/listen.h"
#include "cri/streaming/tls_connection.h"
#include "runtime/base/log.h"

namespace crisp::streaming {
namespace {

constexpr int kNoDescriptorsMs = 100;  // EMFILE: the listener stays readable, so let go for a while

// Small frames must go at once; a peer that vanished without a word is found after 90 s.
void SetSocketOptions(int fd) {
  const int one = 1, idle = 60, interval = 10, count = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

class Server final : public StreamServer {
 public:
  Server(ServerOptions options, StreamUrls* urls, StreamBackend* backend)
      : context_{std::move(options), urls, backend} {}

  ~Server() override {
    context_.urls->SetBase("");
    if (!acceptor_.joinable()) return;
    stopping_ = true;
    eventfd_write(wake_.get(), 1);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (Client& client : running_) shutdown(client.socket.get(), SHUT_RDWR);
    }
    while (connections() != 0) Reap(/*wait=*/true);
  }

  Status Listen() {
    const bool secure = !context_.options.tls.certificate.empty();
    if (secure) {
      ASSIGN_OR_RETURN(tls_, TlsServer::Load(context_.options.tls));
    }
    ASSIGN_OR_RETURN(listener_, ListenOn(context_.options.address, secure));
    wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_.valid()) return ErrnoStatus(errno, "make eventfd");
    context_.urls->SetBase(listener_.url);
    acceptor_ = std::thread([this] { Loop(); });
    return absl::OkStatus();
  }

  int port() const override { return listener_.port; }
  int connections() const override {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(running_.size() + ended_.size());
  }

 private:
  struct Client {
    UniqueFd socket;
    std::thread thread;
  };
  using Clients = std::list<Client>;

  void Loop() {
    int pause = -1;
    while (!stopping_) {
      pollfd fds[] = {{wake_.get(), POLLIN, 0}, {pause < 0 ? listener_.fd.get() : -1, POLLIN, 0}};
      if (poll(fds, 2, pause) < 0 && errno != EINTR) return;
      pause = -1;
      Reap(/*wait=*/false);
      if (fds[1].revents != 0) pause = Accept();
    }
  }

  // How long to leave the listener alone: -1 not at all.
  int Accept() {
    UniqueFd socket(accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid())
      return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? kNoDescriptorsMs : -1;
    if (connections() >= context_.options.max_connections) return -1;
    SetSocketOptions(socket.get());
    const std::lock_guard lock(mutex_);
    const auto client = running_.emplace(running_.end());
    client->socket = std::move(socket);
    try {
      client->thread = std::thread([this, client] { Run(client); });
    } catch (const std::system_error& error) {  // no more threads; the standard library throws
      LogWarning("serving a streaming client", {{"error", error.what()}});
      running_.erase(client);
    }
    return -1;
  }

  void Run(Clients::iterator client) {
    if (tls_ != nullptr)
      ServeTlsConnection(client->socket.get(), tls_.get(), context_);
    else
      ServeConnection(client->socket.get(), context_);
    shutdown(client->socket.get(), SHUT_RDWR);
    const std::lock_guard lock(mutex_);
    ended_.splice(ended_.end(), running_, client);
    eventfd_write(wake_.get(), 1);
  }

  // A thread that ended is joined by the acceptor, at once; at the end by the destructor.
  void Reap(bool wait) {
    if (wait) {  // ~Server looks again after a second, so no wake-up can be missed for good
      pollfd fd{wake_.get(), POLLIN, 0};
      poll(&fd, 1, 1000);
    }
    eventfd_t ignored;
    eventfd_read(wake_.get(), &ignored);
    Clients ended;
    {
      const std::lock_guard lock(mutex_);
      ended.swap(ended_);
    }
    for (Client& client : ended) client.thread.join();
  }

  const ConnectionContext context_;
  std::unique_ptr<TlsServer> tls_;  // null: plain
  ListeningSocket listener_;
  UniqueFd wake_;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  Clients running_, ended_;
  std::thread acceptor_;
};

}  // namespace

StatusOr<std::unique_ptr<StreamServer>> StreamServer::Start(ServerOptions options, StreamUrls* urls,
                                                            StreamBackend* backend) {
  auto server = std::make_unique<Server>(std::move(options), urls, backend);
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<StreamServer>(std::move(server));
}

}  // namespace crisp::streaming
