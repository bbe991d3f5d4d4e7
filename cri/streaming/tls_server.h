// The certificate of a listener with TLS, and the handshake of one connection.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <mutex>
#include <string>

#include "cri/streaming/server.h"
#include "cri/streaming/tls_api.h"

namespace crisp::streaming {

class TlsServer {
 public:
  // Reads the files; an error names the setting, the file and the reason.
  static StatusOr<std::unique_ptr<TlsServer>> Load(const TlsFiles& files);

  // A handshake on a non-blocking socket. Files that changed since the last one are read again;
  // ones that are no good leave what was read before in use.
  StatusOr<SslPtr> Accept(int socket, int timeout_ms);
  const TlsApi& api() const { return *api_; }

 private:
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    timespec changed{};
  };
  struct Stamps {
    Stamp certificate, key, client_ca;
  };
  using Context = std::shared_ptr<SSL_CTX>;

  TlsServer(const TlsApi* api, TlsFiles files) : api_(api), files_(std::move(files)) {}
  StatusOr<Context> Read() const;
  Status Fill(SSL_CTX* context) const;
  Status Failed(const char* setting, const std::string& file) const;
  Stamps Look() const;
  Context Current();

  const TlsApi* const api_;
  const TlsFiles files_;
  std::mutex mutex_;
  Context context_;
  Stamps read_;
};

}  // namespace crisp::streaming
