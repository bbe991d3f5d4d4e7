// The one implementation of KeeperClient.
//
// Threads: any number of callers, and one receiver (`Receive`), which delivers answers and exits
// and, when the keeper has died, gives everything to a new one (client_takeover.cc).
// Lock: `mu_` covers all members below it; it is never held over a send, a wait for an answer or a
// call of on_exit_.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/keeper/client.h"
#include "runtime/keeper/client_connection.h"
#include "runtime/keeper/client_gate.h"
#include "runtime/keeper/client_holdings.h"
#include "runtime/keeper/slot_table.h"

namespace crisp::keeper {

class Client final : public KeeperClient {
 public:
  Client(const KeeperOptions& options, std::function<void(const ExitEvent&)> on_exit)
      : options_(options), on_exit_(std::move(on_exit)) {}
  ~Client() override;
  Status Start();

  Status HoldPod(const std::string& id, const PodFds& fds) override;
  StatusOr<LaunchResult> Launch(const LaunchRequest& request) override;
  StatusOr<int64_t> HoldContainer(const LaunchRequest& request, pid_t pid, int pidfd) override;
  StatusOr<LaunchResult> LaunchExec(const ExecRequest& request) override;
  Status SetLog(const std::string& id, int log, uint64_t offset) override;
  // client_attach.cc
  Status Attach(const std::string& id, int stdout_write, int stderr_write, int life,
                int patience_ms) override;
  bool OutputEnded(const std::string& id, bool out, bool err) override;
  Status CloseStdin(const std::string& id) override;
  StatusOr<UniqueFd> Terminal(const std::string& id) override;
  // client.cc
  Status Signal(const std::string& id, int signal) override;
  Status FlushLog(const std::string& id, int timeout_ms) override;
  uint64_t DroppedLogBytes(const std::string& id) override;
  void AckExit(const std::string& id) override;
  void Drop(const std::string& id) override;
  StatusOr<std::vector<HeldPod>> EnumeratePods() override;
  StatusOr<std::vector<HeldContainer>> EnumerateContainers() override;
  pid_t keeper_pid() const override;

 private:
  // A request that waits for its answer.
  struct Call {
    enum class State { kWaiting, kDone, kLost };  // lost: the keeper died first
    State state = State::kWaiting;
    Packet packet;
    std::string launches;                      // the holding that becomes live with a good answer
    std::optional<LaunchGate::Ticket> ticket;  // of a launch
    std::condition_variable changed;
  };

  // client_call.cc
  StatusOr<Packet> Ask(Request request, const std::vector<int>& fds, Deadline deadline, Call& call);
  // Asks again when the keeper died: for requests that may be repeated.
  StatusOr<Packet> AskUntilDone(const Request& request, const std::vector<int>& fds,
                                Deadline deadline);
  Status AskPlain(const Request& request, const std::vector<int>& fds, Deadline deadline,
                  const std::string& what);
  struct Owner {
    std::string container, pod;
  };
  StatusOr<LaunchResult> RunLaunch(Request request, const Owner& owner, const std::vector<int>& fds,
                                   int deadline_ms);
  void SendDrop(const std::shared_ptr<Connection>& connection, uint32_t slot,
                const std::string& id);
  StatusOr<Request> RequestFor(RequestType type, const std::string& id);

  // client_takeover.cc
  Status Import(const Connection& connection);
  void Receive();
  bool ReceivePackets(const std::shared_ptr<Connection>& connection);
  void OnPacket(const std::shared_ptr<Connection>& connection, Packet packet);
  void FindLost(uint32_t sequence);
  bool OnAnswer(Packet& packet);  // false: nobody waits for it any more
  void ReportExits();
  void ReportExit(uint32_t slot);
  void LoseCalls();
  void WaitForDeath(const Connection& connection);
  bool TakeOver();
  Status Adopt(const Greeting& greeting);
  Status AdoptOne(const Connection& connection, const std::shared_ptr<Holding>& holding);
  void DropUnknown(const std::shared_ptr<Connection>& connection);
  Status MapNewTable(UniqueFd fd);
  bool SameTable(int fd) const;
  bool WaitForWake(int timeout_ms) const;

  const KeeperOptions options_;
  const std::function<void(const ExitEvent&)> on_exit_;
  UniqueFd wake_;  // eventfd: the destructor's call to the receiver
  std::thread receiver_;

  LaunchGate gate_;

  mutable std::mutex mu_;
  std::condition_variable connected_changed_, rotation_changed_;
  std::shared_ptr<Connection> connection_;  // null while there is no keeper
  bool closing_ = false;
  UniqueFd table_fd_;
  SlotTable* table_ = nullptr;
  Holdings holdings_;
  std::map<uint32_t, Call*> calls_;
  std::map<uint32_t, LaunchGate::Ticket> lost_;  // launches given up, by their sequence
  uint32_t next_sequence_ = 1;
  pid_t keeper_pid_ = -1;
};

}  // namespace crisp::keeper
