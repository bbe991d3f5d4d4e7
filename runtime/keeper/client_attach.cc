// What attached clients need of a container's streams.
#include <algorithm>
#include <cerrno>

#include "runtime/keeper/client_impl.h"

namespace crisp::keeper {
namespace {

constexpr std::chrono::seconds kCallTime(10);

}  // namespace

Status Client::Attach(const std::string& id, int stdout_write, int stderr_write, int life,
                      int patience_ms) {
  ASSIGN_OR_RETURN(Request request, RequestFor(RequestType::kAttach, id));
  std::vector<int> fds;
  const std::pair<Role, int> roles[] = {{kRoleStdout, stdout_write}, {kRoleStderr, stderr_write}};
  for (const auto& [role, fd] : roles) {
    if (fd < 0) continue;
    request.role_mask |= Bit(role);
    fds.push_back(fd);
  }
  fds.push_back(life);
  request.deadline_ms = std::clamp(patience_ms, 0, kMaxDeadlineMs);
  Status attached =
      AskPlain(request, fds, Clock::now() + kCallTime, absl::StrCat("attach to ", id));
  if (ErrnoOf(attached) == EAGAIN)
    return absl::ResourceExhaustedError(
        absl::StrCat("attach to ", id, ": too many attached clients on this node"));
  if (ErrnoOf(attached) == ENOSYS)
    return absl::UnimplementedError(absl::StrCat(
        "attach to ", id, ": the running crisp-keeper is of an older version that cannot"));
  return attached;
}

bool Client::OutputEnded(const std::string& id, bool out, bool err) {
  std::lock_guard lock(mu_);
  const auto holding = holdings_.Find(id);
  if (!holding || !holding->live) return true;
  const Slot& slot = table_->slot[holding->slot];
  const auto ended = [&](int stream) { return slot.stream[stream].eof.load() != 0; };
  return (!out || ended(0)) && (!err || ended(1));
}

Status Client::CloseStdin(const std::string& id) {
  ASSIGN_OR_RETURN(const Request request, RequestFor(RequestType::kCloseStdin, id));
  {
    // First here: a keeper that takes over must not get it again.
    std::lock_guard lock(mu_);
    const auto holding = holdings_.Find(id);
    if (holding && !holding->fds[kRolePty].valid()) holding->fds[kRoleStdin].Reset();
  }
  return AskPlain(request, {}, Clock::now() + kCallTime, absl::StrCat("close stdin of ", id));
}

StatusOr<UniqueFd> Client::Terminal(const std::string& id) {
  std::lock_guard lock(mu_);
  const auto holding = holdings_.Find(id);
  if (!holding || !holding->fds[kRolePty].valid())
    return absl::NotFoundError(absl::StrCat("container ", id, " has no terminal"));
  return DupFd(holding->fds[kRolePty].get());
}

}  // namespace crisp::keeper
