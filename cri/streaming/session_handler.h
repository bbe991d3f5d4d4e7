// Exec and attach: five streams between the client and one StreamSession.
#pragma once

#include <memory>
#include <string>

#include "cri/streaming/handler.h"
#include "cri/streaming/session.h"
#include "cri/streaming/status_text.h"

namespace crisp::streaming {

class SessionHandler final : public Handler {
 public:
  // `by_channel`: WebSocket, whose streams are there from the start.
  SessionHandler(StreamRequest request, StreamBackend* backend, HandlerParts parts, int version,
                 bool by_channel);

  bool OnOpen(uint32_t id, const HeaderList& headers) override;
  size_t OnData(uint32_t id, absl::string_view bytes) override;
  void OnEnd(uint32_t id) override;
  void OnReset(uint32_t id) override;

  void Start() override;
  void Watch(std::vector<pollfd>* fds) override;
  void Ready(const pollfd* fds) override;
  void AfterInput() override;
  int64_t deadline() const override;
  bool done() const override { return done_; }

 private:
  enum Role { kIn, kOut, kErr, kError, kResize, kRoles };  // the numbers of the channels
  struct Stream {
    bool wanted = false, open = false, ended = false;
    uint32_t id = 0;
  };

  Role RoleOf(uint32_t id) const;
  bool Complete() const;
  void Launch();
  void Settle();  // ends it if nothing is missing any more
  size_t WriteIn(absl::string_view bytes);
  void EndIn();
  void Pump(UniqueFd* fd, Role role);
  void EndOutput(UniqueFd* fd, Role role);
  void OnExit();
  void Finish(const StatusOr<int>& result);

  const StreamRequest request_;
  StreamBackend* const backend_;
  const HandlerParts parts_;
  const int version_;
  const bool by_channel_;
  Stream streams_[kRoles];
  std::unique_ptr<StreamSession> session_;
  std::string early_;  // stdin that came before the process
  bool in_full_ = false, in_ending_ = false;
  ResizeParser resize_;
  bool exited_ = false, done_ = false, leaving_ = false;
  int64_t owed_[kRoles] = {};  // bytes in the pipe at the exit: the process's own, never cut off
  int64_t setup_end_ = 0, drain_end_ = INT64_MAX;
};

}  // namespace crisp::streaming
