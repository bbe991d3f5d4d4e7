// The daemon's verbs, each a few steps over client_call.cc.
#include "runtime/keeper/client.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/files.h"
#include "runtime/keeper/client_impl.h"
#include "runtime/sys/clone.h"

namespace crisp::keeper {
namespace {

static_assert(kUnknownStatus == kUnknownWaitStatus);
constexpr std::chrono::seconds kConnectTime(10);
constexpr std::chrono::seconds kCallTime(10);

Deadline After(std::chrono::milliseconds time) { return Clock::now() + time; }

Status FillPod(const PodFds& fds, Holding& holding) {
  const std::pair<Role, int> roles[] = {{kRoleNet, fds.net},     {kRoleIpc, fds.ipc},
                                        {kRoleUts, fds.uts},     {kRoleShm, fds.shm},
                                        {kRoleFiles, fds.files}, {kRoleUser, fds.user}};
  for (const auto& [role, fd] : roles) {
    ASSIGN_OR_RETURN(holding.fds[role], DupFd(fd));
  }
  return absl::OkStatus();
}

StatusOr<UniqueFd> MakeStage(int source) {
  if (source < 0) return UniqueFd();
  UniqueFd stage(memfd_create("crisp-log", MFD_CLOEXEC));
  if (!stage.valid()) return ErrnoStatus(errno, "create log staging");
  return stage;
}

// Our copies of the container's streams, and what the log pump needs beside them.
Status FillContainer(const LaunchRequest& request, Holding& holding) {
  const std::pair<Role, int> roles[] = {{kRoleStdout, request.stdout_read},
                                        {kRoleStderr, request.stderr_read},
                                        {kRolePty, request.pty_master},
                                        {kRoleLog, request.log},
                                        {kRoleStdin, request.stdin_write}};
  for (const auto& [role, fd] : roles) {
    ASSIGN_OR_RETURN(holding.fds[role], DupFd(fd));
  }
  const bool tty = request.pty_master >= 0;
  ASSIGN_OR_RETURN(holding.fds[kRoleStage0],
                   MakeStage(tty ? request.pty_master : request.stdout_read));
  ASSIGN_OR_RETURN(holding.fds[kRoleStage1], MakeStage(request.stderr_read));
  if (!tty) return absl::OkStatus();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "create pipe behind the tty");
  holding.fds[kRoleTtyRead].Reset(ends[0]);
  holding.fds[kRoleTtyWrite].Reset(ends[1]);
  return absl::OkStatus();
}

Status CheckPlan(const std::string& plan, size_t fd_count, int deadline_ms) {
  if (plan.empty() || plan.size() > kMaxPlanSize)
    return InvalidField("plan", absl::StrCat(plan.size(), " bytes"), "must be 1 to 1048576 bytes");
  if (fd_count > kMaxPlanFds)
    return InvalidField("fds", absl::StrCat(fd_count), "at most 200 descriptors");
  if (deadline_ms <= 0 || deadline_ms > kMaxDeadlineMs)
    return InvalidField("deadline_ms", absl::StrCat(deadline_ms), "must be 1 to 600000");
  return absl::OkStatus();
}

ExitEvent ExitOf(const Slot& slot, const std::string& id) {
  return {id, slot.wait_status, slot.exited_nanos};
}

}  // namespace

StatusOr<std::unique_ptr<KeeperClient>> KeeperClient::Connect(
    const KeeperOptions& options, std::function<void(const ExitEvent&)> on_exit) {
  auto client = std::make_unique<Client>(options, std::move(on_exit));
  RETURN_IF_ERROR(client->Start());
  return client;
}

Status Client::Start() {
  wake_.Reset(eventfd(0, EFD_CLOEXEC));
  if (!wake_.valid()) return ErrnoStatus(errno, "create eventfd");
  ASSIGN_OR_RETURN(Greeting greeting, OpenConnection(options_, -1, After(kConnectTime)));
  RETURN_IF_ERROR(MapNewTable(std::move(greeting.table)));
  RETURN_IF_ERROR(Import(*greeting.connection));
  connection_ = greeting.connection;
  keeper_pid_ = connection_->pid();
  gate_.SetCapacity(greeting.launchers);
  receiver_ = std::thread([this] { Receive(); });
  return absl::OkStatus();
}

Client::~Client() {
  {
    std::lock_guard lock(mu_);
    closing_ = true;
    connected_changed_.notify_all();
  }
  if (receiver_.joinable()) {
    const uint64_t one = 1;
    while (write(wake_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    receiver_.join();
  }
  UnmapTable(table_);
}

Status Client::HoldPod(const std::string& id, const PodFds& fds) {
  std::shared_ptr<Holding> holding;
  Request request = NewRequest(RequestType::kHoldPod);
  RETURN_IF_ERROR(SetId(id, &request));
  {
    std::lock_guard lock(mu_);
    ASSIGN_OR_RETURN(holding, holdings_.Add(id, Kind::kPod, *table_));
    const Status filled = FillPod(fds, *holding);
    if (!filled.ok()) {
      holdings_.Remove(id);
      return filled;
    }
    holding->live = true;  // a keeper that takes over in between must get it too
    request.kind = Kind::kPod;
    request.slot = holding->slot;
    request.role_mask = holding->Mask();
  }
  Status held =
      AskPlain(request, holding->FdList(), After(kCallTime), absl::StrCat("hold pod ", id));
  if (!held.ok()) Drop(id);
  return held;
}

StatusOr<LaunchResult> Client::Launch(const LaunchRequest& request) {
  RETURN_IF_ERROR(CheckPlan(request.plan, request.fds.size(), request.deadline_ms));
  ASSIGN_OR_RETURN(const UniqueFd plan, MakeMemfd("crisp-plan", request.plan, true));
  Request message = NewRequest(RequestType::kLaunch);
  RETURN_IF_ERROR(SetId(request.id, &message));
  std::shared_ptr<Holding> holding;
  {
    std::lock_guard lock(mu_);
    ASSIGN_OR_RETURN(holding, holdings_.Add(request.id, Kind::kContainer, *table_));
    const Status filled = FillContainer(request, *holding);
    if (!filled.ok()) {
      holdings_.Remove(request.id);
      return filled;
    }
    message.kind = Kind::kContainer;
    message.slot = holding->slot;
    message.role_mask = holding->Mask();
    message.offset = request.log_offset;
    message.max_line = std::clamp(request.max_line, 1u, kMaxLineLimit);
    message.log_file_bytes = request.log_file_bytes;
    message.log_rate_bytes = request.log_rate_bytes;
  }
  std::vector<int> fds = holding->FdList();
  fds.push_back(plan.get());
  fds.insert(fds.end(), request.fds.begin(), request.fds.end());
  return RunLaunch(message, {request.id, request.pod_id}, fds, request.deadline_ms);
}

StatusOr<int64_t> Client::HoldContainer(const LaunchRequest& request, pid_t pid, int pidfd) {
  std::shared_ptr<Holding> holding;
  Request message = NewRequest(RequestType::kHoldContainer);
  RETURN_IF_ERROR(SetId(request.id, &message));
  {
    std::lock_guard lock(mu_);
    ASSIGN_OR_RETURN(holding, holdings_.Add(request.id, Kind::kContainer, *table_));
    Status filled = FillContainer(request, *holding);
    auto copy = DupFd(pidfd);
    filled.Update(copy.status());
    if (!filled.ok()) {
      holdings_.Remove(request.id);
      return filled;
    }
    holding->fds[kRolePidfd] = *std::move(copy);
    holding->live = true;  // its end may be told before the answer is
    message.kind = Kind::kContainer;
    message.slot = holding->slot;
    message.role_mask = holding->Mask();
    message.pid = pid;
    message.offset = request.log_offset;
    message.max_line = std::clamp(request.max_line, 1u, kMaxLineLimit);
  }
  Call call;
  const auto packet = Ask(message, holding->FdList(), After(kCallTime), call);
  Status held = packet.status();
  if (packet.ok() && packet->reply.error != 0)
    held = ErrnoStatus(packet->reply.error, "the keeper refuses");
  if (held.ok()) return table_->slot[holding->slot].started_nanos;
  Drop(request.id);
  return Annotate(held, "hold container ", request.id);
}

StatusOr<LaunchResult> Client::LaunchExec(const ExecRequest& request) {
  RETURN_IF_ERROR(CheckPlan(request.plan, request.fds.size(), request.deadline_ms));
  ASSIGN_OR_RETURN(const UniqueFd plan, MakeMemfd("crisp-plan", request.plan, true));
  Request message = NewRequest(RequestType::kLaunch);
  RETURN_IF_ERROR(SetId(request.id, &message));
  {
    std::lock_guard lock(mu_);
    const auto container = holdings_.Find(request.container_id);
    const bool needs_container = !request.container_id.empty();
    if (needs_container && (!container || container->kind != Kind::kContainer))
      return absl::NotFoundError(absl::StrCat("keeper holds no container ", request.container_id));
    ASSIGN_OR_RETURN(const auto holding, holdings_.Add(request.id, Kind::kExec, *table_));
    message.kind = Kind::kExec;
    message.slot = holding->slot;
    message.max_line = kMaxLineLimit;
  }
  std::vector<int> fds = {plan.get()};
  fds.insert(fds.end(), request.fds.begin(), request.fds.end());
  return RunLaunch(message, {request.container_id, request.pod_id}, fds, request.deadline_ms);
}

// Both files are held until the keeper has confirmed the new one; if it dies in between, the slot's
// generation tells which of the two it was writing.
Status Client::SetLog(const std::string& id, int log, uint64_t offset) {
  ASSIGN_OR_RETURN(UniqueFd copy, DupFd(log));
  ASSIGN_OR_RETURN(Request request, RequestFor(RequestType::kSetLog, id));
  std::vector<int> fds;
  std::shared_ptr<Holding> holding;  // keeps the new file open while it is sent
  {
    std::unique_lock lock(mu_);
    rotation_changed_.wait(lock, [&] {
      holding = holdings_.Find(id);
      return !holding || !holding->rotating;
    });
    if (!holding) return absl::NotFoundError(absl::StrCat("keeper holds no container ", id));
    holding->rotating = true;
    holding->next_log = std::move(copy);
    holding->next_log_set = true;
    holding->next_generation = table_->slot[holding->slot].generation.load() + 1;
    request.generation = holding->next_generation;
    request.offset = offset;
    if (holding->next_log.valid()) fds.push_back(holding->next_log.get());
  }
  const Status set = AskPlain(request, fds, After(kCallTime), absl::StrCat("set log of ", id));
  std::lock_guard lock(mu_);
  // A takeover may have made it the current one already.
  if (set.ok() && holding->next_log_set) holding->fds[kRoleLog] = std::move(holding->next_log);
  holding->next_log.Reset();
  holding->next_log_set = false;
  holding->rotating = false;
  rotation_changed_.notify_all();
  return set;
}

Status Client::Signal(const std::string& id, int signal) {
  std::lock_guard lock(mu_);
  const auto holding = holdings_.Find(id);
  if (!holding || !holding->fds[kRolePidfd].valid())
    return absl::NotFoundError(absl::StrCat("keeper holds no process ", id));
  // A zombie takes signals without an error.
  if (table_->slot[holding->slot].state.load() == SlotState::kExited)
    return absl::NotFoundError(absl::StrCat("signal ", id, ": it has exited"));
  if (sys::PidfdSendSignal(holding->fds[kRolePidfd].get(), signal) == 0) return absl::OkStatus();
  if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("signal ", id, ": it has exited"));
  return ErrnoStatus(errno, "signal ", id, " with ", signal);
}

Status Client::FlushLog(const std::string& id, int timeout_ms) {
  ASSIGN_OR_RETURN(Request request, RequestFor(RequestType::kFlush, id));
  request.deadline_ms = std::clamp(timeout_ms, 1, kMaxDeadlineMs);
  return AskPlain(request, {}, After(kCallTime + std::chrono::milliseconds(request.deadline_ms)),
                  absl::StrCat("flush log of ", id));
}

uint64_t Client::DroppedLogBytes(const std::string& id) {
  std::lock_guard lock(mu_);
  const auto holding = holdings_.Find(id);
  // Written by the keeper meanwhile: an older value is as good.
  return holding
             ? __atomic_load_n(&table_->slot[holding->slot].limit.dropped_bytes, __ATOMIC_RELAXED)
             : 0;
}

void Client::AckExit(const std::string& id) {
  {
    std::lock_guard lock(mu_);
    const auto holding = holdings_.Find(id);
    if (!holding) return;
    table_->slot[holding->slot].acked.store(1, std::memory_order_release);
    if (holding->kind != Kind::kExec) return;
  }
  Drop(id);
}

void Client::Drop(const std::string& id) {
  std::shared_ptr<Connection> connection;
  uint32_t slot = 0;
  {
    std::lock_guard lock(mu_);
    const auto holding = holdings_.Find(id);
    if (!holding) return;
    slot = holding->slot;
    connection = connection_;
    holdings_.Remove(id);
    rotation_changed_.notify_all();
  }
  SendDrop(connection, slot, id);
}

StatusOr<std::vector<HeldPod>> Client::EnumeratePods() {
  std::lock_guard lock(mu_);
  std::vector<HeldPod> pods;
  for (const auto& holding : holdings_.All()) {
    if (holding->kind != Kind::kPod) continue;
    HeldPod pod;
    pod.id = holding->id;
    ASSIGN_OR_RETURN(pod.net, DupFd(holding->fds[kRoleNet].get()));
    ASSIGN_OR_RETURN(pod.ipc, DupFd(holding->fds[kRoleIpc].get()));
    ASSIGN_OR_RETURN(pod.uts, DupFd(holding->fds[kRoleUts].get()));
    ASSIGN_OR_RETURN(pod.shm, DupFd(holding->fds[kRoleShm].get()));
    ASSIGN_OR_RETURN(pod.files, DupFd(holding->fds[kRoleFiles].get()));
    ASSIGN_OR_RETURN(pod.user, DupFd(holding->fds[kRoleUser].get()));
    pods.push_back(std::move(pod));
  }
  return pods;
}

StatusOr<std::vector<HeldContainer>> Client::EnumerateContainers() {
  std::lock_guard lock(mu_);
  std::vector<HeldContainer> containers;
  for (const auto& holding : holdings_.All()) {
    if (holding->kind != Kind::kContainer || !holding->live) continue;
    const Slot& slot = table_->slot[holding->slot];
    HeldContainer container;
    container.exited = slot.state.load(std::memory_order_acquire) == SlotState::kExited;
    container.id = holding->id;
    container.pid = slot.pid;
    container.started_nanos = slot.started_nanos;
    if (container.exited) container.exit = ExitOf(slot, holding->id);
    ASSIGN_OR_RETURN(container.pidfd, DupFd(holding->fds[kRolePidfd].get()));
    ASSIGN_OR_RETURN(container.stdin_write, DupFd(holding->fds[kRoleStdin].get()));
    containers.push_back(std::move(container));
  }
  return containers;
}

pid_t Client::keeper_pid() const {
  std::lock_guard lock(mu_);
  return keeper_pid_;
}

}  // namespace crisp::keeper
