// A connection behind TLS: the wire works with one end of a socketpair, as if TLS were not there.
#pragma once

#include "cri/streaming/connection.h"
#include "cri/streaming/tls_server.h"

namespace crisp::streaming {

// As ServeConnection.
void ServeTlsConnection(int socket, TlsServer* tls, const ConnectionContext& context);

}  // namespace crisp::streaming
