#include "cri/cli/tls_tunnel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "cri/streaming/tls_api.h"
#include "cri/streaming/tls_pump.h"
#include "runtime/base/stages.h"

namespace crisp::cli {
namespace {

using streaming::SslPtr;
using streaming::TlsApi;

constexpr int kHandshakeMs = 10'000;

std::string FirstError(const TlsApi& api) {
  char text[256] = "the server broke it off";
  if (const unsigned long code = api.err_get_error(); code != 0)
    api.err_error_string_n(code, text, sizeof(text));
  api.err_clear_error();
  return text;
}

StatusOr<SslPtr> Prepare(const TlsApi& api, int socket, const std::string& host,
                         const std::string& ca_file) {
  api.err_clear_error();
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(api.ctx_new(api.client_method()),
                                                             api.ctx_free);
  if (context == nullptr) return absl::ResourceExhaustedError("begin TLS: no memory");
  api.ctx_ctrl(context.get(), SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr);
  api.ctx_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const bool trust =
      ca_file.empty() ? api.ctx_set_default_verify_paths(context.get()) == 1
                      : api.ctx_load_verify_locations(context.get(), ca_file.c_str(), nullptr) == 1;
  if (!trust) return InvalidField("--ca", ca_file, FirstError(api));
  SslPtr ssl(api.ssl_new(context.get()), streaming::FreeSsl{&api});
  unsigned char address[sizeof(in6_addr)];
  const bool numeric = inet_pton(AF_INET, host.c_str(), address) == 1 ||
                       inet_pton(AF_INET6, host.c_str(), address) == 1;
  if (ssl == nullptr || api.set_fd(ssl.get(), socket) != 1 ||
      (numeric ? api.verify_param_set1_ip_asc(api.get0_param(ssl.get()), host.c_str())
               : api.set1_host(ssl.get(), host.c_str())) != 1)
    return absl::ResourceExhaustedError("begin TLS: no memory");
  return ssl;
}

Status Refused(const TlsApi& api, const SSL* ssl, const std::string& host) {
  const long verdict = api.get_verify_result(ssl);
  if (verdict == X509_V_OK)
    return absl::UnavailableError(
        absl::StrCat("TLS with the streaming server at ", host, ": ", FirstError(api)));
  return absl::UnauthenticatedError(
      absl::StrCat("the certificate of the streaming server at ", host, " is not trusted: ",
                   api.verify_cert_error_string(verdict), "; name the CA to trust with --ca FILE"));
}

Status Handshake(const TlsApi& api, SSL* ssl, int socket, const std::string& host) {
  const int64_t deadline = MonotonicNanos() + int64_t{kHandshakeMs} * 1'000'000;
  for (;;) {
    api.err_clear_error();
    const int result = api.connect(ssl);
    if (result == 1) return absl::OkStatus();
    const int error = api.get_error(ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
      return Refused(api, ssl, host);
    const auto left = static_cast<int>((deadline - MonotonicNanos()) / 1'000'000);
    pollfd fd{socket, static_cast<short>(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
    if (left <= 0 || poll(&fd, 1, left) == 0)
      return absl::DeadlineExceededError(
          absl::StrCat("TLS with the streaming server at ", host, ": no answer"));
  }
}

}  // namespace

StatusOr<std::unique_ptr<TlsTunnel>> TlsTunnel::Open(UniqueFd socket, const std::string& host,
                                                     const std::string& ca_file) {
  ASSIGN_OR_RETURN(const TlsApi* const api, streaming::LoadTls());
  ASSIGN_OR_RETURN(SslPtr ssl, Prepare(*api, socket.get(), host, ca_file));
  fcntl(socket.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  RETURN_IF_ERROR(Handshake(*api, ssl.get(), socket.get(), host));
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return ErrnoStatus(errno, "make socketpair");
  std::unique_ptr<TlsTunnel> tunnel(new TlsTunnel);
  tunnel->plain_.Reset(ends[0]);
  UniqueFd inner(ends[1]);
  fcntl(inner.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  tunnel->pump_ = std::thread(
      [api, ssl = std::move(ssl), socket = std::move(socket), inner = std::move(inner)] {
        streaming::TlsPump(*api, ssl.get(), socket.get(), inner.get()).Run();
      });
  return tunnel;
}

TlsTunnel::~TlsTunnel() {
  plain_.Reset();
  if (pump_.joinable()) pump_.join();
}

}  // namespace crisp::cli
