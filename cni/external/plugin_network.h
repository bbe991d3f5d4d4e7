// Pod networks that external CNI plugins make (specification 1.1). Thread-safe.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cni/conf_list.h"
#include "cni/pod_network.h"
#include "runtime/base/status.h"

namespace crisp::cni {

class PluginNetwork {
 public:
  struct Options {
    std::vector<std::string> bin_dirs;
    std::string state_dir;
    int timeout_ms = 60'000;  // of one plugin call
  };
  static StatusOr<std::unique_ptr<PluginNetwork>> Open(const Options& options);
  ~PluginNetwork();

  // Every plugin of the list is there and may be executed.
  Status CheckInstalled(const ConfList& list) const;
  StatusOr<Lease> Add(const ConfList& list, const PodIdentity& pod);
  Status Adopt(const std::string& sandbox_id);
  // DEL in the background, again and again until it succeeds, also after a restart.
  void Release(const std::string& sandbox_id);
  // Releases what belongs to no adopted pod.
  void Sweep();
  // The STATUS verb (1.1), asked at most every few seconds.
  Status CheckStatus(const ConfList& list);
  bool WaitUntilIdle(int timeout_ms);

 private:
  explicit PluginNetwork(const Options& options) : options_(options) {}
  const Options options_;
};

}  // namespace crisp::cni
