// Requests and their answers, matched by sequence number.
#include <algorithm>
#include <cerrno>

#include "runtime/keeper/client_impl.h"

namespace crisp::keeper {
namespace {

// Beyond a launch's own deadline: the keeper's kill and its second of grace.
constexpr std::chrono::seconds kAnswerGrace(5);
// A takeover takes milliseconds. Where no keeper can be started, the caller is told well before the
// kubelet's own deadline.
constexpr std::chrono::seconds kConnectTime(10);

Status KeeperDied(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": the keeper died before it answered"));
}

Status LaunchError(const Reply& reply) {
  if (reply.error == EAGAIN)
    return absl::ResourceExhaustedError(absl::StrCat("launch: ", reply.text));
  const std::string step = reply.step[0] ? absl::StrCat(": step ", reply.step) : "";
  const std::string subject = reply.text[0] ? absl::StrCat(": ", reply.text) : "";
  return ErrnoStatus(reply.error, "launch", step, subject);
}

}  // namespace

StatusOr<Packet> Client::Ask(Request request, const std::vector<int>& fds, Deadline deadline,
                             Call& call) {
  std::shared_ptr<Connection> connection;
  {
    std::unique_lock lock(mu_);
    const Deadline connected = std::min(deadline, Clock::now() + kConnectTime);
    if (!connected_changed_.wait_until(lock, connected, [&] { return connection_ || closing_; }) ||
        !connection_)
      return absl::UnavailableError("no keeper");
    connection = connection_;
    // 0 is an event, the last one an exchange of the receiver.
    do request.sequence = next_sequence_++;
    while (request.sequence == 0 || request.sequence == UINT32_MAX ||
           calls_.count(request.sequence) > 0);
    calls_[request.sequence] = &call;
  }
  const Status sent = connection->Send(request, fds);
  std::unique_lock lock(mu_);
  if (sent.ok())
    call.changed.wait_until(lock, deadline, [&] { return call.state != Call::State::kWaiting; });
  calls_.erase(request.sequence);
  if (call.state == Call::State::kDone) return std::move(call.packet);
  if (!sent.ok() && !absl::IsUnavailable(sent)) return sent;
  if (sent.ok() && call.state == Call::State::kWaiting)
    return absl::DeadlineExceededError("keeper does not answer");
  return KeeperDied("ask keeper");
}

StatusOr<Packet> Client::AskUntilDone(const Request& request, const std::vector<int>& fds,
                                      Deadline deadline) {
  for (;;) {
    std::shared_ptr<Connection> before;
    {
      std::lock_guard lock(mu_);
      before = connection_;
    }
    Call call;
    auto packet = Ask(request, fds, deadline, call);
    if (packet.ok() || !absl::IsUnavailable(packet.status())) return packet;
    // Not again over the same dead connection: wait until the receiver has noticed.
    std::unique_lock lock(mu_);
    connected_changed_.wait_until(lock, deadline,
                                  [&] { return connection_ != before || closing_; });
    if (closing_ || MillisUntil(deadline) == 0) return packet;
  }
}

Status Client::AskPlain(const Request& request, const std::vector<int>& fds, Deadline deadline,
                        const std::string& what) {
  const auto packet = AskUntilDone(request, fds, deadline);
  if (!packet.ok()) return Annotate(packet.status(), what);
  return packet->reply.error == 0 ? absl::OkStatus() : ErrnoStatus(packet->reply.error, what);
}

StatusOr<Request> Client::RequestFor(RequestType type, const std::string& id) {
  Request request = NewRequest(type);
  RETURN_IF_ERROR(SetId(id, &request));
  std::lock_guard lock(mu_);
  const auto holding = holdings_.Find(id);
  if (!holding || !holding->live) return absl::NotFoundError(absl::StrCat("keeper holds no ", id));
  request.slot = holding->slot;
  return request;
}

StatusOr<LaunchResult> Client::RunLaunch(Request request, const Owner& owner,
                                         const std::vector<int>& fds, int deadline_ms) {
  const std::string id = request.id;
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(deadline_ms);
  const StatusOr<LaunchGate::Ticket> entered = gate_.Enter(owner.container, owner.pod, deadline);
  Status failed = entered.status();
  if (failed.ok()) {
    Call call;
    call.launches = id;
    call.ticket = *entered;
    request.deadline_ms = std::max(1, MillisUntil(deadline));
    auto packet = Ask(request, fds, deadline + kAnswerGrace, call);
    // A launcher that is lost stays counted until the keeper has it back (OnAnswer, FindLost).
    if (!packet.ok() || packet->reply.lost == 0) gate_.Leave(*entered);
    if (packet.ok() && packet->reply.error == 0 && packet->fds.size() == 1)
      return LaunchResult{packet->reply.pid, std::move(packet->fds[0]), packet->reply.time_nanos};
    failed = packet.ok() ? LaunchError(packet->reply) : Annotate(packet.status(), "launch");
  }
  std::lock_guard lock(mu_);
  holdings_.Remove(id);
  return failed;
}

void Client::SendDrop(const std::shared_ptr<Connection>& connection, uint32_t slot,
                      const std::string& id) {
  Request request = NewRequest(RequestType::kDrop);
  request.slot = slot;
  // Without a keeper nothing is to be done: a new one frees what it is not given.
  if (connection && SetId(id, &request).ok()) connection->Send(request, {}).IgnoreError();
}

}  // namespace crisp::keeper
