// The receiver: answers, exits, and the death of the keeper.
//
// When the keeper dies: take what it had sent; fail the calls that wait (launches in flight end
// with UNAVAILABLE, the others ask again); start a new keeper; give it the slot table and all
// descriptors. Exits of the gap need nothing special: their pidfds are readable, and the new keeper
// finds the status in the kernel.
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "runtime/keeper/client_impl.h"

namespace crisp::keeper {
namespace {

constexpr std::chrono::seconds kTakeoverTime(5);
constexpr int kDeathMs = 1000;
constexpr int kRetryMs = 200;

bool IsReady(int fd, int timeout_ms) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, timeout_ms) > 0;
}

}  // namespace

Status Client::MapNewTable(UniqueFd fd) {
  if (const int err = MapTable(fd.get(), &table_)) return ErrnoStatus(err, "map keeper's slots");
  table_fd_ = std::move(fd);
  return absl::OkStatus();
}

bool Client::SameTable(int fd) const {
  struct stat ours, theirs;
  return fstat(table_fd_.get(), &ours) == 0 && fstat(fd, &theirs) == 0 &&
         ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

// What a keeper holds that has outlived its daemon. Execs ended with the daemon's request.
Status Client::Import(const Connection& connection) {
  for (uint32_t next = 0; next < kSlots; ++next) {
    Request request = NewRequest(RequestType::kGet);
    request.slot = next;
    ASSIGN_OR_RETURN(Packet packet, connection.Exchange(request, {}));
    if (packet.reply.error != 0) return ErrnoStatus(packet.reply.error, "list keeper's slots");
    next = packet.reply.slot;
    if (next >= kSlots) break;
    const Slot& slot = table_->slot[next];
    if (!IsValidId(slot.id)) return absl::DataLossError("keeper's slot table has a bad id");
    if (slot.kind == Kind::kExec) {
      request = NewRequest(RequestType::kDrop);
      request.slot = next;
      RETURN_IF_ERROR(SetId(slot.id, &request));
      RETURN_IF_ERROR(connection.Send(request, {}));
      continue;
    }
    const auto holding = holdings_.AddAt(slot.id, slot.kind, next);
    holding->live = true;
    holding->Take(packet.reply.role_mask, packet.fds);
  }
  return absl::OkStatus();
}

bool Client::WaitForWake(int timeout_ms) const { return IsReady(wake_.get(), timeout_ms); }

void Client::Receive() {
  std::shared_ptr<Connection> connection;
  for (bool fresh = true;; fresh = false) {
    {
      std::lock_guard lock(mu_);
      connection = connection_;
    }
    if (fresh) ReportExits();
    pollfd entries[] = {{connection->socket(), POLLIN, 0},
                        {connection->keeper(), POLLIN, 0},
                        {wake_.get(), POLLIN, 0}};
    if (poll(entries, 3, -1) < 0) continue;
    if (entries[2].revents != 0) return;
    const bool died = entries[1].revents != 0;
    if (ReceivePackets(connection) && !died) continue;
    LoseCalls();
    WaitForDeath(*connection);
    connection.reset();
    while (!TakeOver())
      if (WaitForWake(kRetryMs)) return;
    ReportExits();
  }
}

// All that is there now; false: the connection is over.
bool Client::ReceivePackets(const std::shared_ptr<Connection>& connection) {
  for (;;) {
    auto packet = connection->Receive();
    if (!packet.ok()) return absl::IsNotFound(packet.status());
    OnPacket(connection, *std::move(packet));
  }
}

void Client::OnPacket(const std::shared_ptr<Connection>& connection, Packet packet) {
  const Reply& reply = packet.reply;
  if (reply.type == ReplyType::kExited)
    return reply.slot == kSlots ? ReportExits() : ReportExit(reply.slot);
  if (reply.type == ReplyType::kDrained) {
    std::lock_guard lock(mu_);
    Holding* holding = holdings_.OfSlot(reply.slot);
    if (holding && holding->live && LogsEnded(table_->slot[reply.slot])) holding->CloseStreams();
    return;
  }
  if (OnAnswer(packet)) return;
  if (reply.type == ReplyType::kLaunched) FindLost(reply.sequence);
  // A launch that its caller no longer waited for; he has been told that it failed.
  if (reply.type == ReplyType::kLaunched && reply.error == 0 && reply.slot < kSlots)
    SendDrop(connection, reply.slot, table_->slot[reply.slot].id);
}

// The second answer to a launch that was given up: its launcher is back.
void Client::FindLost(uint32_t sequence) {
  std::lock_guard lock(mu_);
  const auto found = lost_.find(sequence);
  if (found == lost_.end()) return;
  gate_.Leave(found->second);
  lost_.erase(found);
}

bool Client::OnAnswer(Packet& packet) {
  std::lock_guard lock(mu_);
  const auto found = calls_.find(packet.reply.sequence);
  if (found == calls_.end()) return false;
  Call& call = *found->second;
  const bool launched = packet.reply.type == ReplyType::kLaunched && packet.reply.error == 0;
  const auto holding = launched ? holdings_.Find(call.launches) : nullptr;
  if (holding && packet.fds.size() == 1) {
    auto copy = DupFd(packet.fds[0].get());
    if (copy.ok()) holding->fds[kRolePidfd] = *std::move(copy);
    holding->live = true;
  }
  if (packet.reply.lost != 0 && call.ticket) {
    gate_.Lose(*call.ticket);
    lost_.emplace(packet.reply.sequence, *call.ticket);
  }
  call.packet = std::move(packet);
  call.state = Call::State::kDone;
  call.changed.notify_one();
  return true;
}

void Client::ReportExits() {
  const uint32_t end = table_->head.high_water.load();
  for (uint32_t slot = 0; slot < end; ++slot) ReportExit(slot);
}

void Client::ReportExit(uint32_t index) {
  ExitEvent event;
  {
    std::lock_guard lock(mu_);
    const Slot& slot = table_->slot[index];
    Holding* holding = holdings_.OfSlot(index);
    if (!holding || !holding->live || holding->reported) return;
    if (slot.state.load(std::memory_order_acquire) != SlotState::kExited) return;
    if (slot.acked.load(std::memory_order_acquire) != 0) return;
    holding->reported = true;
    event = {holding->id, slot.wait_status, slot.exited_nanos};
  }
  if (on_exit_) on_exit_(event);
}

void Client::LoseCalls() {
  std::lock_guard lock(mu_);
  connection_.reset();
  keeper_pid_ = -1;
  for (const auto& [sequence, call] : calls_) {
    if (call->state != Call::State::kWaiting) continue;
    call->state = Call::State::kLost;
    call->changed.notify_one();
  }
  for (const auto& [sequence, ticket] : lost_)
    gate_.Leave(ticket);  // nobody tells of them any more
  lost_.clear();
  connected_changed_.notify_all();
}

// Its threads may still be on their way out of the kernel; two pumps at once would be wrong. One
// that lives on has only let go of us.
void Client::WaitForDeath(const Connection& connection) { IsReady(connection.keeper(), kDeathMs); }

bool Client::TakeOver() {
  auto greeting = OpenConnection(options_, table_fd_.get(), Clock::now() + kTakeoverTime);
  if (!greeting.ok() || !SameTable(greeting->table.get())) return false;
  if (greeting->fresh_table && !Adopt(*greeting).ok()) return false;
  {
    std::lock_guard lock(mu_);
    connection_ = greeting->connection;
    keeper_pid_ = connection_->pid();
    gate_.SetCapacity(greeting->launchers);
    connected_changed_.notify_all();
  }
  DropUnknown(greeting->connection);
  return true;
}

Status Client::Adopt(const Greeting& greeting) {
  std::vector<std::shared_ptr<Holding>> all;
  {
    std::lock_guard lock(mu_);
    all = holdings_.All();
  }
  for (const auto& holding : all) RETURN_IF_ERROR(AdoptOne(*greeting.connection, holding));
  return greeting.connection->Exchange(NewRequest(RequestType::kAdoptDone), {}).status();
}

Status Client::AdoptOne(const Connection& connection, const std::shared_ptr<Holding>& holding) {
  Request request = NewRequest(RequestType::kAdopt);
  std::vector<int> fds;
  // What another thread may replace or close meanwhile (SetLog, CloseStdin): its number could be
  // another file's by then.
  UniqueFd log, in;
  {
    std::lock_guard lock(mu_);
    if (!holding->live || holdings_.OfSlot(holding->slot) != holding.get()) return absl::OkStatus();
    const Slot& slot = table_->slot[holding->slot];
    // A rotation that the dead keeper had made, but not confirmed.
    if (holding->next_log_set && slot.generation.load() == holding->next_generation) {
      holding->fds[kRoleLog] = std::move(holding->next_log);
      holding->next_log_set = false;
    }
    RETURN_IF_ERROR(SetId(holding->id, &request));
    request.kind = holding->kind;
    request.slot = holding->slot;
    request.role_mask = holding->Mask();
    fds = holding->FdList();
    for (const auto& [role, copy] : {std::pair{kRoleLog, &log}, std::pair{kRoleStdin, &in}}) {
      const int current = holding->fds[role].get();
      ASSIGN_OR_RETURN(*copy, DupFd(current));
      std::replace(fds.begin(), fds.end(), current, copy->get());
    }
  }
  // A single slot that the keeper refuses (its answer has an error) must not keep the others from
  // being adopted.
  return connection.Exchange(request, fds).status();
}

// Slots of the table that nobody here knows: dropped while there was no keeper, or started for a
// caller who was told that it failed.
void Client::DropUnknown(const std::shared_ptr<Connection>& connection) {
  std::vector<std::pair<uint32_t, std::string>> unknown;
  {
    std::lock_guard lock(mu_);
    for (uint32_t i = 0; i < table_->head.high_water.load(); ++i) {
      const bool used = table_->slot[i].state.load() != SlotState::kFree;
      if (used && !holdings_.OfSlot(i)) unknown.emplace_back(i, table_->slot[i].id);
    }
  }
  for (const auto& [slot, id] : unknown) SendDrop(connection, slot, id);
}

}  // namespace crisp::keeper
