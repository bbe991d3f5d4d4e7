// Runs what clients of the streaming server ask for. The wire is cri/streaming's business.
#pragma once

#include <chrono>

#include "cri/pods/pod_store.h"
#include "cri/streaming/session.h"

namespace crisp::cri {

// What becomes of an exec whose client is gone.
enum class OnDisconnect { kHangUp, kKill, kLeave };

struct StreamOptions {
  OnDisconnect on_disconnect = OnDisconnect::kHangUp;
  std::chrono::milliseconds hangup_grace{2000};  // from SIGHUP to SIGKILL
  int attach_wait_ms = 2000;  // how long a client that does not read may hold its container up
};

class ContainerStreams final : public streaming::StreamBackend {
 public:
  ContainerStreams(const StreamOptions& options, PodStore* pods,
                   const runtime::RuntimeContext& runtime)
      : options_(options), pods_(pods), runtime_(runtime) {}

  StatusOr<std::unique_ptr<streaming::StreamSession>> Exec(
      const streaming::StreamRequest& request) override;
  StatusOr<std::unique_ptr<streaming::StreamSession>> Attach(
      const streaming::StreamRequest& request) override;
  StatusOr<UniqueFd> Socket(const std::string& sandbox, int family) override;

 private:
  const StreamOptions options_;
  PodStore* const pods_;
  const runtime::RuntimeContext runtime_;
};

}  // namespace crisp::cri
