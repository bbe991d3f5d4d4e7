#include "cri/streaming/tls_connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "cri/streaming/tls_pump.h"
#include "runtime/base/log.h"

namespace crisp::streaming {
namespace {

constexpr int kPairBuffer = 64 << 10;  // each way; the client's own socket has its buffers beside

Status MakePair(UniqueFd* wire, UniqueFd* pump) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return ErrnoStatus(errno, "make socketpair");
  wire->Reset(ends[0]);
  pump->Reset(ends[1]);
  for (const int fd : ends)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kPairBuffer, sizeof(kPairBuffer));
  return absl::OkStatus();
}

Status Serve(int socket, TlsServer* tls, const ConnectionContext& context) {
  ASSIGN_OR_RETURN(const SslPtr ssl, tls->Accept(socket, context.options.head_ms));
  UniqueFd wire, pump;
  RETURN_IF_ERROR(MakePair(&wire, &pump));
  std::thread thread;
  try {
    thread = std::thread([&] {
      TlsPump(tls->api(), ssl.get(), socket, pump.get()).Run();
      pump.Reset();
    });
  } catch (const std::system_error& error) {  // no more threads; the standard library throws
    return absl::ResourceExhaustedError(error.what());
  }
  ServeConnection(wire.get(), context);
  wire.Reset();
  thread.join();
  return absl::OkStatus();
}

}  // namespace

void ServeTlsConnection(int socket, TlsServer* tls, const ConnectionContext& context) {
  const Status served = Serve(socket, tls, context);
  if (served.ok()) return;
  LogDebug("streaming client without TLS", {{"why", std::string(served.message())}});
  AwaitClientsEnd(socket);
}

}  // namespace crisp::streaming
