#include "cri/streaming/tls_server.h"

#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "cri/streaming/http_upgrade.h"
#include "runtime/base/log.h"
#include "runtime/base/stages.h"

namespace crisp::streaming {
namespace {

// Of TLS 1.2: forward secrecy and AEAD only. TLS 1.3 has no others.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr unsigned char kHandshakeRecord = 22;

// OpenSSL's own asks at the terminal.
int NoPassword(char*, int, int, void*) { return 0; }

bool WaitFor(int socket, short events, int64_t deadline) {
  const int64_t left = (deadline - MonotonicNanos()) / 1'000'000;
  pollfd fd{socket, events, 0};
  return left > 0 && poll(&fd, 1, static_cast<int>(left)) != 0;
}

// Whoever speaks HTTP here is told so in its own language.
Status LookAtFirstByte(int socket, int64_t deadline) {
  unsigned char first = 0;
  for (;;) {
    if (!WaitFor(socket, POLLIN, deadline))
      return absl::DeadlineExceededError("wait for the client's TLS handshake");
    const ssize_t n = recv(socket, &first, 1, MSG_PEEK);
    if (n == 1) break;
    if (n == 0) return absl::AbortedError("the client left before its TLS handshake");
    if (errno != EAGAIN && errno != EINTR) return ErrnoStatus(errno, "read the TLS handshake");
  }
  if (first == kHandshakeRecord) return absl::OkStatus();
  const std::string answer = HttpRefusal(400, "this is HTTPS: speak TLS");
  if (first >= 'A' && first <= 'Z')
    (void)!send(socket, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return absl::InvalidArgumentError("the client does not speak TLS");
}

}  // namespace

StatusOr<std::unique_ptr<TlsServer>> TlsServer::Load(const TlsFiles& files) {
  ASSIGN_OR_RETURN(const TlsApi* const api, LoadTls());
  std::unique_ptr<TlsServer> server(new TlsServer(api, files));
  server->read_ = server->Look();
  ASSIGN_OR_RETURN(server->context_, server->Read());
  return server;
}

StatusOr<TlsServer::Context> TlsServer::Read() const {
  api_->err_clear_error();
  const Context context(api_->ctx_new(api_->server_method()), api_->ctx_free);
  if (context == nullptr) return Failed("streaming.tls_certificate", files_.certificate);
  RETURN_IF_ERROR(Fill(context.get()));
  return context;
}

// No sessions are kept: a client comes once for each URL.
Status TlsServer::Fill(SSL_CTX* context) const {
  const TlsApi& api = *api_;
  api.ctx_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr);
  api.ctx_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
  api.ctx_ctrl(context, SSL_CTRL_MODE,
               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                   SSL_MODE_RELEASE_BUFFERS,
               nullptr);
  api.ctx_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  api.ctx_set_num_tickets(context, 0);
  api.ctx_set_cipher_list(context, kCiphers);
  api.ctx_set_default_passwd_cb(context, NoPassword);
  if (api.ctx_use_certificate_chain_file(context, files_.certificate.c_str()) != 1)
    return Failed("streaming.tls_certificate", files_.certificate);
  if (api.ctx_use_private_key_file(context, files_.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      api.ctx_check_private_key(context) != 1)
    return Failed("streaming.tls_key", files_.key);
  if (files_.client_ca.empty()) return absl::OkStatus();
  if (api.ctx_load_verify_locations(context, files_.client_ca.c_str(), nullptr) != 1)
    return Failed("streaming.tls_client_ca", files_.client_ca);
  api.ctx_set_client_ca_list(context, api.load_client_ca_file(files_.client_ca.c_str()));
  api.ctx_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return absl::OkStatus();
}

// OpenSSL's first error says why, those after it only who passed it on.
Status TlsServer::Failed(const char* setting, const std::string& file) const {
  const unsigned long error = api_->err_get_error();
  api_->err_clear_error();
  if (ERR_GET_LIB(error) == ERR_LIB_SYS)
    return InvalidField(setting, file, ErrnoText(ERR_GET_REASON(error)));
  char text[256] = "";
  api_->err_error_string_n(error, text, sizeof(text));
  return InvalidField(setting, file, text);
}

TlsServer::Stamps TlsServer::Look() const {
  const auto look = [](const std::string& file) {
    struct stat info;
    if (file.empty() || stat(file.c_str(), &info) != 0) return Stamp{};
    return Stamp{info.st_dev, info.st_ino, info.st_size, info.st_mtim};
  };
  return {look(files_.certificate), look(files_.key), look(files_.client_ca)};
}

TlsServer::Context TlsServer::Current() {
  const auto same = [](const Stamp& a, const Stamp& b) {
    return a.device == b.device && a.inode == b.inode && a.size == b.size &&
           a.changed.tv_sec == b.changed.tv_sec && a.changed.tv_nsec == b.changed.tv_nsec;
  };
  const std::lock_guard lock(mutex_);
  const Stamps now = Look();
  if (same(now.certificate, read_.certificate) && same(now.key, read_.key) &&
      same(now.client_ca, read_.client_ca))
    return context_;
  read_ = now;  // of files that are no good yet the next change counts
  auto fresh = Read();
  if (fresh.ok())
    context_ = *std::move(fresh);
  else
    LogWarning("reading the streaming certificate again; the one before stays in use",
               {{"error", std::string(fresh.status().message())}});
  return context_;
}

StatusOr<SslPtr> TlsServer::Accept(int socket, int timeout_ms) {
  const int64_t deadline = MonotonicNanos() + int64_t{timeout_ms} * 1'000'000;
  RETURN_IF_ERROR(LookAtFirstByte(socket, deadline));
  const Context context = Current();
  SslPtr ssl(api_->ssl_new(context.get()), FreeSsl{api_});
  if (ssl == nullptr || api_->set_fd(ssl.get(), socket) != 1)
    return absl::ResourceExhaustedError("begin TLS: no memory");
  for (;;) {
    api_->err_clear_error();
    const int result = api_->accept(ssl.get());
    if (result == 1) return ssl;
    const int error = api_->get_error(ssl.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      char text[256] = "the client left";
      if (const unsigned long code = api_->err_get_error(); code != 0)
        api_->err_error_string_n(code, text, sizeof(text));
      return absl::InvalidArgumentError(absl::StrCat("TLS handshake: ", text));
    }
    if (!WaitFor(socket, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
      return absl::DeadlineExceededError("TLS handshake: not complete in time");
  }
}

}  // namespace crisp::streaming
