// Leaves the calling thread's namespaces for a while.
#pragma once

#include <sched.h>

#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// Returns to the namespaces of before at the end of the scope, whatever happened. A thread that
// could not return would do the daemon's work inside a pod: that ends the process.
class NamespaceVisit {
 public:
  NamespaceVisit() = default;
  ~NamespaceVisit();
  NamespaceVisit(const NamespaceVisit&) = delete;
  NamespaceVisit& operator=(const NamespaceVisit&) = delete;

  // `type`: CLONE_NEWIPC, CLONE_NEWUTS or CLONE_NEWNET.
  Status Unshare(int type);
  Status Join(int type, int fd);

  // The calling thread's namespace of this type.
  static StatusOr<UniqueFd> Current(int type);

 private:
  Status Remember(int type);

  struct Home {
    int type;
    UniqueFd fd;
  };
  std::vector<Home> homes_;
};

}  // namespace crisp::runtime
