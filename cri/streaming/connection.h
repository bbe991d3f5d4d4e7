// One connection of a client, from its HTTP request to its close, on a thread of its own.
#pragma once

#include "cri/streaming/server.h"

namespace crisp::streaming {

struct ConnectionContext {
  ServerOptions options;
  StreamUrls* urls = nullptr;
  StreamBackend* backend = nullptr;
};

// Returns when the connection is over; whatever ran for it is over then, too. `socket`:
// non-blocking. To end it from elsewhere: shutdown(2).
void ServeConnection(int socket, const ConnectionContext& context);

}  // namespace crisp::streaming
