// crisp-keeper: the one process of a node that is the parent of all containers. It launches, holds
// descriptors, writes logs and keeps exit statuses, for one daemon at a time; it parses nothing but
// its own fixed structs and resolves no path from a message.
//
// One thread (the pump) runs this class; launches happen on the threads of LauncherPool. All memory
// is in the zeroed part of the image: nothing is allocated after the start.
#pragma once

#include <stdint.h>

#include "runtime/keeper/held.h"
#include "runtime/keeper/launchers.h"
#include "runtime/keeper/log_pump.h"
#include "runtime/keeper/protocol.h"
#include "runtime/keeper/slot_table.h"
#include "runtime/sys/scm_rights.h"

namespace crisp::keeper {

struct KeeperSettings {
  bool exit_when_idle = false;  // no daemon and no used slot: end (a later daemon starts another)
  bool exit_info = true;        // false: do not ask PIDFD_GET_INFO, as on kernels before 6.15
};

class Keeper {
 public:
  // `listener`: a listening SOCK_SEQPACKET socket; `held`: kSlots zeroed ones. Returns 0 or errno.
  int Init(int listener, Held* held, const LaunchFunctions& functions,
           const KeeperSettings& settings);
  // Serves until it is idle (if so asked). Returns an errno otherwise.
  int Run();

 private:
  // Descriptors of a request; those not taken are closed at its end.
  struct Fds {
    int fd[sys::kMaxPacketFds];
    size_t count = 0;
    size_t next = 0;
    int Take() { return fd[next++]; }
    ~Fds() {
      for (size_t i = next; i < count; ++i) close(fd[i]);
    }
  };
  struct Flush {
    uint32_t connection, sequence, slot;
    int64_t deadline;  // 0: unused
  };
  static constexpr uint32_t kMaxFlushes = 64;

  // keeper.cc: the loop
  int Watch(int fd, uint64_t token);
  void Unwatch(int fd);
  void OnEvent(uint64_t token, uint32_t events);
  void PumpLogs();
  void OnAttached(uint32_t entry, uint32_t events);
  int TimeoutMs() const;
  void OnTimers();
  bool Idle() const;

  // keeper_connection.cc: who is served
  void OnConnect();
  void RefuseWithSpare();
  void OnClient(uint32_t events);
  bool ClientIsGone() const;
  void CloseClient();
  void Send(Reply& reply, const int* fds = nullptr, size_t fd_count = 0);
  void SendDone(uint32_t sequence, uint32_t slot, int error);
  void SendEvent(ReplyType type, uint32_t slot);
  void FlushEvents();

  // keeper_requests.cc: one function per message
  void OnRequest(const Request& request, size_t plan_fds, Fds& fds);
  void OnHello(const Request& request, Fds& fds);
  void OnHoldPod(const Request& request, Fds& fds);
  void OnSetLog(const Request& request, Fds& fds);
  void OnFlush(const Request& request);
  void OnDrop(const Request& request);
  void OnGet(const Request& request);
  void OnAdopt(const Request& request, Fds& fds);
  void OnAdoptDone(const Request& request);
  void OnAttach(const Request& request, Fds& fds);
  void OnCloseStdin(const Request& request);
  Slot* Find(const Request& request);
  void TakeRoles(const Request& request, Fds& fds);
  void Claim(const Request& request, SlotState state);
  void Release(uint32_t index);
  void StartLogs(uint32_t index);
  void NoteDrained(uint32_t index);
  void EndFlushes(uint32_t index, int error);

  // keeper_launch.cc
  void OnLaunch(const Request& request, size_t plan_fds, Fds& fds);
  void OnHoldContainer(const Request& request, Fds& fds);
  void OnLauncher(uint32_t launcher);
  void Launched(const LaunchJob& job, const LaunchPacket& packet, int pidfd);
  void LaunchFailed(const LaunchJob& job, int error, const char* step, const char* text,
                    bool lost = false);
  void Undo(const LauncherPool::Outcome& outcome);
  void TellBack(const LaunchJob& job);

  // keeper_exits.cc
  void WatchExit(uint32_t index);
  void OnPidfd(uint32_t index);
  bool ResolveForeign(uint32_t index);
  bool CallerSees(uint32_t index) const;
  void NoteExit(uint32_t index, int wait_status);
  void ResolvePending();
  void ReapStrangers();
  bool SlotOfChild(pid_t pid, uint32_t* index) const;

  Slot& slot(uint32_t index) { return table_->slot[index]; }
  uint32_t high_water() const { return table_ ? table_->head.high_water.load() : 0; }

  int epoll_ = -1, log_epoll_ = -1, listener_ = -1, signals_ = -1;
  int spare_ = -1;  // a descriptor in reserve
  int table_fd_ = -1;
  SlotTable* table_ = nullptr;
  bool adopting_ = false;  // the table came from the daemon, its slots' fds are still to come

  int client_ = -1, client_pidfd_ = -1;
  uint32_t connection_ = 0;  // number of the current one
  bool greeted_ = false;
  bool events_lost_ = false;  // an event did not fit: tell the daemon to look at all slots

  KeeperSettings settings_;
  bool had_client_ = false;
  bool reap_wanted_ = false;
  uint32_t unresolved_ = 0;  // foreign children whose exit status is not known yet

  Flush flushes_[kMaxFlushes] = {};
  LogPump pump_;
  LauncherPool launchers_;
  const LaunchFunctions* functions_ = nullptr;
  Held* held_ = nullptr;  // kSlots of them
};

int64_t MonotonicNanos();
int64_t WallNanos();

}  // namespace crisp::keeper
