// One function per message of the daemon.
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/keeper.h"
#include "runtime/keeper/tokens.h"

namespace crisp::keeper {

void Keeper::OnRequest(const Request& request, size_t plan_fds, Fds& fds) {
  if (request.type == RequestType::kHello) return OnHello(request, fds);
  if (!greeted_) return CloseClient();
  switch (request.type) {
    case RequestType::kHoldPod:
      return OnHoldPod(request, fds);
    case RequestType::kLaunch:
      return OnLaunch(request, plan_fds, fds);
    case RequestType::kHoldContainer:
      return OnHoldContainer(request, fds);
    case RequestType::kSetLog:
      return OnSetLog(request, fds);
    case RequestType::kFlush:
      return OnFlush(request);
    case RequestType::kDrop:
      return OnDrop(request);
    case RequestType::kGet:
      return OnGet(request);
    case RequestType::kAdopt:
      return OnAdopt(request, fds);
    case RequestType::kAdoptDone:
      return OnAdoptDone(request);
    case RequestType::kAttach:
      return OnAttach(request, fds);
    case RequestType::kCloseStdin:
      return OnCloseStdin(request);
    case RequestType::kHello:
      return;
  }
}

// The first daemon brings a table (a former keeper's) or gets a new one; later ones get ours.
void Keeper::OnHello(const Request& request, Fds& fds) {
  Reply reply{};
  reply.type = ReplyType::kHello;
  reply.sequence = request.sequence;
  if (!table_) {
    adopting_ = fds.count > 0;
    const int fd = fds.count > 0 ? fds.Take() : CreateTable();
    reply.error = fd < 0 ? -fd : MapTable(fd, &table_);
    // Who may ptrace an exec's process before its execve must not find the table in its memory.
    if (reply.error == 0) madvise(table_, sizeof(*table_), MADV_DONTFORK);
    if (reply.error == 0) {
      table_fd_ = fd;
    } else if (fd >= 0) {
      close(fd);
    }
  }
  if (reply.error != 0) return Send(reply);
  greeted_ = true;
  reply.fresh_table = adopting_ ? 1 : 0;
  reply.pid = getpid();
  reply.launchers = LauncherPool::kAtOnce;
  Send(reply, &table_fd_, 1);
}

void Keeper::OnHoldPod(const Request& request, Fds& fds) {
  Slot& target = slot(request.slot);
  // The same pod again (its daemon did not see our answer) is the same pod.
  const bool same = target.state.load() == SlotState::kHeld && strcmp(target.id, request.id) == 0;
  if (target.state.load() != SlotState::kFree && !same)
    return SendDone(request.sequence, request.slot, EEXIST);
  Claim(request, SlotState::kHeld);
  TakeRoles(request, fds);
  SendDone(request.sequence, request.slot, 0);
}

// Between two batches, so the old file gets no byte after the answer.
void Keeper::OnSetLog(const Request& request, Fds& fds) {
  Slot* target = Find(request);
  if (!target || target->kind != Kind::kContainer)
    return SendDone(request.sequence, request.slot, ENOENT);
  // Asked again by a daemon that did not see the answer: lines are in the new file already.
  if (target->generation.load() == request.generation)
    return SendDone(request.sequence, request.slot, 0);
  const int log = fds.count > 0 ? fds.Take() : -1;
  pump_.SetLog(*target, held_[request.slot], log, request.offset, request.generation);
  SendDone(request.sequence, request.slot, 0);
}

void Keeper::OnFlush(const Request& request) {
  Slot* target = Find(request);
  if (!target || target->kind != Kind::kContainer)
    return SendDone(request.sequence, request.slot, ENOENT);
  pump_.Drain(*target, held_[request.slot]);
  NoteDrained(request.slot);
  const bool wait = target->state.load() == SlotState::kExited && !LogsEnded(*target);
  if (!wait) return SendDone(request.sequence, request.slot, 0);
  for (Flush& flush : flushes_) {
    if (flush.deadline != 0) continue;
    flush = {connection_, request.sequence, request.slot,
             MonotonicNanos() + int64_t{request.deadline_ms} * 1000000};
    return;
  }
  SendDone(request.sequence, request.slot, EAGAIN);
}

void Keeper::OnDrop(const Request& request) {
  if (Find(request) && slot(request.slot).state.load() != SlotState::kLaunching)
    Release(request.slot);
}

// The next used slot from the given one on, with all its descriptors.
void Keeper::OnGet(const Request& request) {
  Reply reply{};
  reply.type = ReplyType::kSlot;
  reply.sequence = request.sequence;
  reply.slot = kSlots;
  int fds[kRoleCount];
  size_t count = 0;
  for (uint32_t i = request.slot; i < high_water(); ++i) {
    const SlotState state = slot(i).state.load();
    if (state == SlotState::kFree || state == SlotState::kLaunching) continue;
    reply.slot = i;
    reply.role_mask = held_[i].Mask();
    for (uint32_t role = 0; role < kRoleCount; ++role)
      if (held_[i].Get(role) >= 0) fds[count++] = held_[i].Get(role);
    break;
  }
  Send(reply, fds, count);
}

void Keeper::OnAdopt(const Request& request, Fds& fds) {
  Slot& target = slot(request.slot);
  if (!adopting_ || held_[request.slot].used != 0)
    return SendDone(request.sequence, request.slot, EEXIST);
  const SlotState state = target.state.load();
  const bool known = strcmp(target.id, request.id) == 0;
  if (request.kind == Kind::kPod && !known && state == SlotState::kFree) {
    Claim(request, SlotState::kHeld);  // its keeper died before it had noted the pod
  } else if (!known || (state != SlotState::kHeld && state != SlotState::kRunning &&
                        state != SlotState::kExited)) {
    return SendDone(request.sequence, request.slot, ENOENT);
  }
  TakeRoles(request, fds);
  if (target.kind == Kind::kContainer) StartLogs(request.slot);
  if (target.state.load() == SlotState::kRunning) WatchExit(request.slot);
  SendDone(request.sequence, request.slot, 0);
}

// What nobody handed over was in the middle of its launch (its daemon kills it by its cgroup), or
// dropped.
void Keeper::OnAdoptDone(const Request& request) {
  if (adopting_) {
    for (uint32_t i = 0; i < high_water(); ++i)
      if (slot(i).state.load() != SlotState::kFree && held_[i].used == 0) ClearSlot(slot(i));
  }
  adopting_ = false;
  SendDone(request.sequence, 0, 0);
}

void Keeper::OnAttach(const Request& request, Fds& fds) {
  const Slot* target = Find(request);
  const bool fits =
      target && target->kind == Kind::kContainer && target->state.load() != SlotState::kLaunching;
  int error = fits ? 0 : ENOENT;
  const int life = fds.fd[fds.count - 1];
  for (uint32_t stream = 0; stream < 2 && error == 0; ++stream) {
    if ((request.role_mask & Bit(stream == 0 ? kRoleStdout : kRoleStderr)) == 0) continue;
    error = pump_.Attach(request.slot, stream, held_[request.slot], fds.Take(), life,
                         request.deadline_ms);
  }
  SendDone(request.sequence, request.slot, error);
}

// With a terminal there is nothing to close: its one descriptor serves both directions.
void Keeper::OnCloseStdin(const Request& request) {
  if (!Find(request)) return SendDone(request.sequence, request.slot, ENOENT);
  if (held_[request.slot].Get(kRolePty) < 0) held_[request.slot].Close(kRoleStdin);
  SendDone(request.sequence, request.slot, 0);
}

Slot* Keeper::Find(const Request& request) {
  Slot& found = slot(request.slot);
  if (found.state.load() == SlotState::kFree || strcmp(found.id, request.id) != 0) return nullptr;
  return &found;
}

void Keeper::TakeRoles(const Request& request, Fds& fds) {
  held_[request.slot].used = 1;
  for (uint32_t role = 0; role < kRoleCount; ++role)
    if ((request.role_mask & (1u << role)) != 0) held_[request.slot].Set(role, fds.Take());
}

// Everything about a slot is written before its state says that it is used.
void Keeper::Claim(const Request& request, SlotState state) {
  Slot& target = slot(request.slot);
  target.kind = request.kind;
  target.pid = 0;
  target.wait_status = 0;
  target.pidfd_inode = 0;
  target.started_nanos = target.exited_nanos = 0;
  target.role_mask = request.role_mask;
  target.max_line = request.max_line;
  target.lost_bytes = 0;
  target.limit = {request.log_file_bytes, request.log_rate_bytes, 0, 0, 0, 0, 0};
  target.acked.store(0);
  target.generation.store(request.generation);
  target.log_offset[request.generation & 1].store(request.offset);
  target.batch.phase.store(BatchPhase::kNone);
  for (StreamState& stream : target.stream) {
    stream.processed.store(0);
    stream.eof.store(0);
  }
  memcpy(target.id, request.id, kIdSize);
  if (high_water() <= request.slot) table_->head.high_water.store(request.slot + 1);
  target.state.store(state, std::memory_order_release);
}

void Keeper::Release(uint32_t index) {
  Held& held = held_[index];
  Slot& target = slot(index);
  if (target.kind == Kind::kContainer && target.state.load() != SlotState::kLaunching)
    pump_.Stop(target, held);
  if (held.resolve_deadline != 0) --unresolved_;
  held.resolve_deadline = 0;
  // The daemon's dup keeps the file open: closing ours does not take it out of the epoll.
  if (held.Get(kRolePidfd) >= 0) Unwatch(held.Get(kRolePidfd));
  for (uint32_t role = 0; role < kRoleCount; ++role) held.Close(role);
  held.used = 0;
  EndFlushes(index, ENOENT);
  ClearSlot(target);
  reap_wanted_ = true;
}

void Keeper::StartLogs(uint32_t index) {
  pump_.Start(index, slot(index), held_[index]);
  NoteDrained(index);
}

void Keeper::NoteDrained(uint32_t index) {
  if (slot(index).state.load() == SlotState::kFree || !LogsEnded(slot(index))) return;
  EndFlushes(index, 0);
  SendEvent(ReplyType::kDrained, index);
}

void Keeper::EndFlushes(uint32_t index, int error) {
  for (Flush& flush : flushes_) {
    if (flush.deadline == 0 || flush.slot != index) continue;
    flush.deadline = 0;
    if (flush.connection == connection_) SendDone(flush.sequence, index, error);
  }
}

}  // namespace crisp::keeper
