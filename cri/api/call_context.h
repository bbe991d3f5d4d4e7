// What a handler knows about the call it answers, besides the request.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/base/stages.h"

namespace crisp {

// Used by the one thread that answers the call; cancelled() may be asked from any thread.
class CallContext {
 public:
  CallContext(absl::string_view method, std::string request_id, absl::Time deadline,
              std::function<bool()> cancelled)
      : request_id_(std::move(request_id)),
        deadline_(deadline),
        cancelled_(std::move(cancelled)),
        stages_(method) {}
  // A call without a client, for tests and for the daemon's own work.
  explicit CallContext(absl::string_view method)
      : CallContext(method, "local", absl::InfiniteFuture(), [] { return false; }) {}

  const std::string& method() const { return stages_.op(); }
  const std::string& request_id() const { return request_id_; }
  // When the client stops waiting; InfiniteFuture() if it never does (PullImage, ExecSync with 0).
  absl::Time deadline() const { return deadline_; }
  // The client is gone or the daemon shuts down: what the call began should end soon.
  bool cancelled() const { return cancelled_(); }
  StageClock& stages() { return stages_; }
  const StageClock& stages() const { return stages_; }

  // The pod or container the call is about: its times show under this id in `crisp inspect`.
  void set_object(absl::string_view id) { object_ = std::string(id); }
  const std::string& object() const { return object_; }

 private:
  std::string request_id_;
  absl::Time deadline_;
  std::function<bool()> cancelled_;
  StageClock stages_;
  std::string object_;
};

}  // namespace crisp
