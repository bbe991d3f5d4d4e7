// Who has which address: leases, pool and fences. Thread-safe.
//
// An address goes free -> taken -> fenced -> free. It is fenced from Release on until the host end
// of its cable is gone: until then packets for it still go to the old pod. The background worker
// learns of the end by RTM_DELLINK; a cable that outlives its grace period is deleted.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cni/builtin/bridge.h"
#include "cni/builtin/host_local.h"
#include "runtime/base/status.h"

namespace crisp::cni {

class AddressLedger {
 public:
  // One address of each range set of the network. When there is none, waits up to `timeout_ms` for
  // fences to end (and asks for it); RESOURCE_EXHAUSTED when nothing comes.
  StatusOr<std::vector<IpAddr>> Take(const BridgeNetwork& network, int timeout_ms);
  void Free(const std::vector<IpAddr>& ips);
  // A live pod's addresses, known from its record. Takes over the fence of its cable, if any.
  Status Claim(const std::string& link, const std::vector<IpAddr>& ips);

  enum class Due { kAfterGrace, kNow, kNever };  // kNever: until DueAll
  void Fence(const std::string& link, const std::vector<IpAddr>& ips, Due due);
  void LinkGone(const std::string& link);
  void DueAll();

  // Fenced links nobody has looked at yet: they may be gone already.
  std::vector<std::string> TakeUnchecked();
  // Fenced links to delete now; they come again after a second.
  std::vector<std::string> TakeDue(int64_t now);
  // When TakeDue has something to say; INT64_MAX: nothing.
  int64_t NextDue() const;
  std::vector<std::string> FencedLinks() const;

  bool WaitUntilNoFences(int timeout_ms);
  size_t in_use() const;
  // Called when the worker has something to do; must not call back. Set before the first use.
  void SetWake(std::function<void()> wake) { wake_ = std::move(wake); }

 private:
  struct FencedLink {
    std::vector<IpAddr> ips;
    int64_t due;
    bool checked;
  };
  bool TryTake(const BridgeNetwork& network, std::vector<IpAddr>* ips);
  void MakeAllDue(bool also_never);

  std::function<void()> wake_ = [] {};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  AddressBook book_;
  std::map<std::string, FencedLink> fences_;
};

}  // namespace crisp::cni
