// PodNetwork: chooses between our own bridge network and external plugins, and knows who has what.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "cni/bridge_conf.h"
#include "cni/builtin/live_network.h"
#include "cni/conf_list.h"
#include "cni/external/plugin_network.h"
#include "cni/network_worker.h"
#include "cni/pod_network.h"
#include "cni/pool/cable_pool.h"
#include "cni/record.h"

namespace crisp::cni {

class NetworkManager : public PodNetwork {
 public:
  static StatusOr<std::unique_ptr<NetworkManager>> Open(const NetworkOptions& options);
  ~NetworkManager() override;

  StatusOr<Lease> Add(const PodIdentity& pod) override;
  Status Adopt(const std::string& sandbox_id, const std::string& record) override;
  Status Release(const std::string& sandbox_id, const std::string& record) override;
  Status Sweep() override;
  NetworkStatus CurrentStatus() override;
  bool Quiesce(int timeout_ms) override;

  // For tests: how many networks wait ready-made, and how many addresses are not free.
  size_t pool_count() const { return pool_.count(); }
  size_t addresses_in_use() const { return ledger_.in_use(); }

 private:
  // What is in force: at most one of the two networks.
  struct Plan {
    std::shared_ptr<LiveNetwork> bridge;
    std::shared_ptr<const ConfList> plugins;
    std::string json, problem;
    uint64_t generation = 0;
  };

  explicit NetworkManager(const NetworkOptions& options);
  Status FenceLeftovers();
  Status Usable(const ConfList& list) const;
  // The plan after a look at the configuration folders.
  Plan CurrentPlan();
  // The plan, if it fits to what was loaded.
  std::optional<Plan> KnownPlan(const ConfSource::Loaded& loaded);
  Plan MakePlan(const ConfSource::Loaded& loaded) const;
  StatusOr<Attachment> TakeAttachment(LiveNetwork& network, int netns);
  StatusOr<Lease> AddToBridge(LiveNetwork& network, const PodIdentity& pod);
  Status ReleaseBridge(const Record& record);

  const NetworkOptions options_;
  const std::string tag_;
  AddressLedger ledger_;
  NftTables tables_;
  CablePool pool_;
  ConfSource source_;
  std::unique_ptr<PluginNetwork> plugins_;

  std::mutex switch_mutex_;  // held while plan and pool change together; before mutex_
  std::mutex mutex_;         // never held over I/O
  Plan plan_;
  bool swept_ = false;  // the pool waits for it: adopted addresses come first
  std::map<std::string, Record> leases_;

  std::unique_ptr<NetworkWorker> worker_;  // last: it uses everything above
};

}  // namespace crisp::cni
