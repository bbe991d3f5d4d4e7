// The one background thread of the network: learns of links and tables that vanish, deletes cables
// whose time is over, fills the pool.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "cni/builtin/address_ledger.h"
#include "cni/builtin/live_network.h"
#include "cni/builtin/nft_tables.h"
#include "cni/pool/cable_pool.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

class NetworkWorker {
 public:
  struct Parts {
    AddressLedger* ledger;
    NftTables* tables;
    CablePool* pool;
    // The network whose pool is kept full; nullptr: none.
    std::function<std::shared_ptr<LiveNetwork>()> network;
  };
  // Opens the monitors in the caller's namespace, then starts.
  static StatusOr<std::unique_ptr<NetworkWorker>> Start(Parts parts);
  ~NetworkWorker();

  void Wake();

 private:
  explicit NetworkWorker(Parts parts) : parts_(std::move(parts)) {}
  void Run();
  void Wait();
  void HearLinks();
  void HearTables();
  void CheckFences();
  void DeleteDueCables();
  void FillPool();
  int64_t NextDeadline();

  Parts parts_;
  UniqueFd wake_;
  std::optional<NlSocket> links_, nft_, route_;
  std::atomic<bool> stop_{false};
  int64_t refill_not_before_ = 0;
  int64_t restore_again_at_ = INT64_MAX;
  std::thread thread_;
};

}  // namespace crisp::cni
