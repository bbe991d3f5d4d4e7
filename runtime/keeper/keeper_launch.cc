// Launches: the slot first, then the clone, then everything that hangs on the new process.
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/keeper.h"
#include "runtime/keeper/tokens.h"
#include "runtime/sys/clone.h"

namespace crisp::keeper {
namespace {

void CopyText(char* out, size_t capacity, const char* text) {
  const size_t length = strnlen(text, capacity - 1);
  memcpy(out, text, length);
  out[length] = '\0';
}

uint64_t InodeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

}  // namespace

void Keeper::OnLaunch(const Request& request, size_t plan_fds, Fds& fds) {
  if (slot(request.slot).state.load() != SlotState::kFree)
    return SendDone(request.sequence, request.slot, EEXIST);
  Claim(request, SlotState::kLaunching);
  TakeRoles(request, fds);
  const LaunchJob job{request.slot, request.sequence, connection_, request.kind,
                      MonotonicNanos() + int64_t{request.deadline_ms} * 1000000};
  // The launcher gets dups; ours (plan and its descriptors) end with this request.
  const int err = launchers_.Give(job, fds.fd + fds.next, plan_fds);
  if (err != 0)
    LaunchFailed(job, err, "launch", "no launcher is free (those that hang are written off)");
}

// Launched by a program of the host (an OCI runtime) whose orphan became our child: from here on as
// if we had done it.
void Keeper::OnHoldContainer(const Request& request, Fds& fds) {
  Slot& target = slot(request.slot);
  if (target.state.load() != SlotState::kFree)
    return SendDone(request.sequence, request.slot, EEXIST);
  Claim(request, SlotState::kLaunching);
  TakeRoles(request, fds);
  target.pid = request.pid;
  target.pidfd_inode = InodeOf(held_[request.slot].Get(kRolePidfd));
  target.started_nanos = WallNanos();
  target.state.store(SlotState::kRunning, std::memory_order_release);
  SendDone(request.sequence, request.slot, 0);
  StartLogs(request.slot);
  WatchExit(request.slot);
}

void Keeper::OnLauncher(uint32_t launcher) {
  LauncherPool::Outcome outcome{};
  if (!launchers_.Take(launcher, &outcome)) return;
  const LaunchPacket& packet = outcome.packet;
  if (outcome.late) {
    Undo(outcome);
    return TellBack(outcome.job);
  }
  // While no daemon is there the launch stands: the next one finds it. One that has come since has
  // already looked, and has counted it as failed.
  const bool orphan = client_ >= 0 && outcome.job.connection != connection_;
  if (packet.err == 0 && !outcome.timed_out && !orphan)
    return Launched(outcome.job, packet, outcome.pidfd);
  Undo(outcome);
  // A kill shows up in whatever step it met; the reason is the deadline.
  LaunchFailed(outcome.job, outcome.timed_out ? ETIMEDOUT : packet.err,
               functions_->step_name(packet.step), packet.text);
  reap_wanted_ = true;
}

// A launch that succeeded although it is already reported as failed.
void Keeper::Undo(const LauncherPool::Outcome& outcome) {
  if (outcome.pidfd < 0) return;
  sys::PidfdSendSignal(outcome.pidfd, SIGKILL);
  close(outcome.pidfd);
  reap_wanted_ = true;
}

// The slot may be another's by now: only the sequence is meant.
void Keeper::TellBack(const LaunchJob& job) {
  Reply reply{};
  reply.type = ReplyType::kLaunched;
  reply.sequence = job.sequence;
  reply.slot = kSlots;
  reply.error = ETIMEDOUT;
  if (job.connection == connection_) Send(reply);
}

void Keeper::Launched(const LaunchJob& job, const LaunchPacket& packet, int pidfd) {
  Slot& target = slot(job.slot);
  held_[job.slot].Set(kRolePidfd, pidfd);
  target.pid = packet.pid;
  target.pidfd_inode = InodeOf(pidfd);
  target.started_nanos = WallNanos();
  target.role_mask |= Bit(kRolePidfd);
  target.state.store(SlotState::kRunning, std::memory_order_release);
  Reply reply{};
  reply.type = ReplyType::kLaunched;
  reply.sequence = job.sequence;
  reply.slot = job.slot;
  reply.pid = packet.pid;
  reply.time_nanos = target.started_nanos;
  reply.role_mask = Bit(kRolePidfd);
  if (job.connection == connection_) Send(reply, &pidfd, 1);
  // After the answer: the daemon hears of an end only once it knows of the start.
  if (job.kind == Kind::kContainer) StartLogs(job.slot);
  WatchExit(job.slot);
}

void Keeper::LaunchFailed(const LaunchJob& job, int error, const char* step, const char* text,
                          bool lost) {
  Release(job.slot);
  Reply reply{};
  reply.type = ReplyType::kLaunched;
  reply.sequence = job.sequence;
  reply.slot = job.slot;
  reply.error = error;
  reply.lost = lost ? 1 : 0;
  CopyText(reply.step, sizeof(reply.step), step);
  CopyText(reply.text, sizeof(reply.text), text);
  if (job.connection == connection_) Send(reply);
}

}  // namespace crisp::keeper
