// Between a client's TLS and the plain socket that a connection works with: one thread, 8 KiB each
// way, and what one side does not take the other is not asked for.
#pragma once

#include "cri/streaming/tls_server.h"
#include "runtime/sys/fd.h"

namespace crisp::streaming {

class TlsPump {
 public:
  // All outlive it; both sockets are non-blocking.
  TlsPump(const TlsApi& api, SSL* ssl, int client, int plain)
      : api_(api), ssl_(ssl), client_(client), plain_(plain) {}

  // Until both ways have ended or one side is gone. The plain side's end becomes close_notify; the
  // client's becomes the end of what the plain side reads.
  void Run();

 private:
  static constexpr size_t kRecord = 8 << 10;  // half of the largest that TLS knows
  enum class Blocked { kNo, kRead, kWrite };  // what TLS waits for at its socket
  struct Piece {
    char bytes[kRecord];
    size_t at = 0, end = 0;
    bool empty() const { return at == end; }
    size_t size() const { return end - at; }
    void Fill(ssize_t n) { at = 0, end = n > 0 ? static_cast<size_t>(n) : 0; }
  };

  bool Step();  // false: a side is gone
  bool FromClient();
  bool ToPlain();
  bool FromPlain();
  bool ToClient();
  bool EndToClient();
  bool Wait();
  Blocked Why(int result) const;

  const TlsApi& api_;
  SSL* const ssl_;
  const int client_, plain_;
  Piece in_, out_;                                   // from the client, to the client
  bool client_ended_ = false, plain_ended_ = false;  // nothing more will come from it
  bool told_client_ = false, told_plain_ = false;    // that nothing more will go to it
  bool plain_gone_ = false;                          // takes nothing any more
  bool client_fin_ = false;                          // seen behind bytes that we do not take
  Blocked read_ = Blocked::kNo, write_ = Blocked::kNo;
  int64_t deadline_ = INT64_MAX;
};

// Ends our half, and drops what the client still sends until its end, for two seconds: closing a
// socket with unread bytes resets it, and may destroy what the client has not read yet.
void AwaitClientsEnd(int socket);

}  // namespace crisp::streaming
