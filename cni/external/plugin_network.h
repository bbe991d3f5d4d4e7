// Pod networks that external CNI plugins make (specification 1.1). Thread-safe.
//
// ADD runs in the caller's thread, DEL and GC in a thread of their own: a pod's end never waits for
// a plugin. What is to be deleted stands in the attachment store until DEL has succeeded.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cni/conf_list.h"
#include "cni/external/attachment_store.h"
#include "cni/pod_network.h"
#include "runtime/base/status.h"

namespace crisp::cni {

class PluginNetwork {
 public:
  struct Options {
    std::vector<std::string> bin_dirs;
    std::string state_dir;
    int timeout_ms = 60'000;     // of one plugin call
    int retry_first_ms = 1'000;  // after a DEL that failed; doubles up to a minute
  };
  static StatusOr<std::unique_ptr<PluginNetwork>> Open(const Options& options);
  ~PluginNetwork();

  // Every plugin of the list is there and may be executed.
  Status CheckInstalled(const ConfList& list) const;
  StatusOr<Lease> Add(const ConfList& list, const PodIdentity& pod);
  Status Adopt(const std::string& sandbox_id);
  // DEL in the background, again and again until it succeeds, also after a restart.
  void Release(const std::string& sandbox_id);
  // Releases what belongs to no adopted pod; then GC with `list` (may be null), if it allows it.
  void Sweep(const std::shared_ptr<const ConfList>& list);
  // The STATUS verb (1.1), asked at most every few seconds.
  Status CheckStatus(const ConfList& list);
  bool WaitUntilIdle(int timeout_ms);

 private:
  struct Pending {
    int64_t due = 0;
    int64_t pause_ms = 0;
  };

  PluginNetwork(const Options& options, AttachmentStore store);
  Status RunAdd(const ConfList& list, StoredAttachment* attachment);
  Status RunDel(const std::string& sandbox_id);
  Status DeleteAttachment(const StoredAttachment& attachment);
  void RunGc(const ConfList& list);
  StatusOr<std::string> Call(const std::string& command, const ConfPlugin& plugin,
                             const StoredAttachment& attachment, Json config, int timeout_ms);
  std::string PinPath(const std::string& sandbox_id) const;

  void RunWorker();
  void WorkOne(std::unique_lock<std::mutex>& lock);
  void StartWorker();

  const Options options_;
  UniqueFd cancel_;  // an eventfd: ends the plugin calls at destruction
  std::mutex store_mutex_;
  AttachmentStore store_;

  std::mutex mutex_;  // never held while a plugin runs
  std::condition_variable changed_;
  std::map<std::string, Pending> pending_;  // DEL to do
  std::set<std::string> live_;
  std::shared_ptr<const ConfList> gc_;  // GC to do
  int adding_ = 0;
  bool collecting_ = false, working_ = false, stop_ = false;
  std::thread worker_;

  std::mutex status_mutex_;
  std::string status_of_;  // the list that was asked
  Status status_;
  int64_t status_until_ = 0;
};

}  // namespace crisp::cni
