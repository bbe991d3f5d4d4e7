// TLS to a streaming server: the frames go through one end of a socketpair, as if TLS were not
// there; a thread of ours stands between it and the server (cri/streaming/tls_pump.h).
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cli {

class TlsTunnel {
 public:
  // A handshake on a connected socket with a deadline. The server's certificate must be `host`'s,
  // and of an authority in `ca_file` (PEM); "": of one that the system trusts.
  static StatusOr<std::unique_ptr<TlsTunnel>> Open(UniqueFd socket, const std::string& host,
                                                   const std::string& ca_file);
  // The plain end must be closed before.
  ~TlsTunnel();
  TlsTunnel(const TlsTunnel&) = delete;
  TlsTunnel& operator=(const TlsTunnel&) = delete;

  UniqueFd TakePlainEnd() { return std::move(plain_); }

 private:
  TlsTunnel() = default;
  UniqueFd plain_;
  std::thread pump_;
};

}  // namespace crisp::cli
