// The cgroups of execs that ended before the processes they left in the background: each goes with
// the last of those. The kernel tells (an inotify event of cgroup.events), nothing is polled, and a
// group costs a watch, no descriptor.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

class LeftGroups {
 public:
  // Starts the thread that removes them. Fails where the user has no inotify instance left.
  static StatusOr<std::unique_ptr<LeftGroups>> Start();
  ~LeftGroups();

  // `directory`: the group's, in the v2 tree. Where the kernel has no watch left, the group stays
  // until its container goes.
  void RemoveWhenEmpty(int directory);
  // The same for all groups of execs below a container's group: those of an earlier daemon.
  void TakeOver(int container);

 private:
  struct Group {
    std::string path;
    int busy = 0;  // times that rmdir found it empty and busy
  };

  LeftGroups(UniqueFd events, UniqueFd wake);
  void Add(const std::string& path);
  void Wake();
  void Run();
  void ReadEvents();
  // True when it is gone or given up.
  bool TryRemove(int watch, Group& group);
  void TryAll(bool busy_only);

  const UniqueFd events_, wake_;
  std::mutex mu_;
  std::map<int, Group> groups_;  // by inotify watch
  bool any_busy_ = false;        // one of them has `busy` above 0
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace crisp::runtime
