#include "cri/streaming/server.h"

namespace crisp::streaming {

StatusOr<std::unique_ptr<StreamServer>> StreamServer::Start(ServerOptions, StreamUrls*,
                                                            StreamBackend*) {
  return absl::UnimplementedError("start the streaming server: not yet");
}

}  // namespace crisp::streaming
