// One connection to one keeper: packets, the greeting, and starting a keeper where none answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/keeper/client.h"
#include "runtime/keeper/protocol.h"
#include "runtime/sys/fd.h"

namespace crisp::keeper {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
int MillisUntil(Deadline deadline);  // >= 0

struct Packet {
  Reply reply{};
  std::vector<UniqueFd> fds;
};

Request NewRequest(RequestType type);
Status SetId(const std::string& id, Request* request);

class Connection {
 public:
  Connection(UniqueFd socket, UniqueFd keeper, pid_t pid)
      : socket_(std::move(socket)), keeper_(std::move(keeper)), pid_(pid) {}
  int socket() const { return socket_.get(); }
  int keeper() const { return keeper_.get(); }  // pidfd
  pid_t pid() const { return pid_; }

  Status Send(const Request& request, const std::vector<int>& fds) const;
  // One packet that is there already. UNAVAILABLE: the keeper is gone; NOT_FOUND: none is there.
  StatusOr<Packet> Receive() const;
  // Sends and waits for the answer; events in between are skipped. Only where no other thread
  // reads: greeting, adoption, enumeration.
  StatusOr<Packet> Exchange(Request request, const std::vector<int>& fds) const;

 private:
  UniqueFd socket_, keeper_;
  pid_t pid_;
};

struct Greeting {
  std::shared_ptr<Connection> connection;
  UniqueFd table;
  bool fresh_table = false;  // the keeper has just taken it over: it wants to adopt
  uint32_t launchers = 1;
};
// Connects and greets; starts a keeper where none answers. `table`: what a former keeper left, or
// -1. Tries again until `deadline` while another keeper or daemon is in its start or end.
StatusOr<Greeting> OpenConnection(const KeeperOptions& options, int table, Deadline deadline);

// Starts a keeper, detached: not our child, own session. Returns when it listens. UNAVAILABLE: it
// ended at once (another one holds the lock).
Status SpawnKeeper(const KeeperOptions& options, Deadline deadline);

}  // namespace crisp::keeper
