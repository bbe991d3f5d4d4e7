// Interface counters of a pod's network namespace, without entering it at each call: an open
// /proc/net/dev keeps showing the namespace in which it was opened, takes no RTNL lock (which the
// deletion of a link holds for 30 ms) and needs no process of the pod.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/stats/parse.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// Two descriptors; they keep the namespace alive, so they must go when the pod stops.
class NetFiles {
 public:
  bool opened() const;
  std::vector<InterfaceUsage> Interfaces();
  // Sockets in the whole namespace.
  std::optional<uint64_t> Sockets();

 private:
  friend void OpenNetFiles(const std::vector<std::pair<int, NetFiles*>>& wanted);

  mutable std::mutex mu_;
  bool opened_ = false;
  UniqueFd dev_, sockstat_;
};

// Opens them for each {namespace fd, files} that is not open yet: one thread enters one namespace
// after the other and ends; no other thread's namespace ever changes.
void OpenNetFiles(const std::vector<std::pair<int, NetFiles*>>& wanted);

}  // namespace crisp::runtime
