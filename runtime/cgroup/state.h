// What a CgroupHost and its Cgroups share.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/cgroup/limits.h"
#include "runtime/cgroup/task_files.h"

namespace crisp::runtime {

struct HostState {
  std::vector<Hierarchy> hierarchies;
  const Hierarchy* v2 = nullptr;        // of `hierarchies`
  const Hierarchy* tracking = nullptr;  // where v1 membership is read: freezer, else the first
  bool kill_file = false;               // cgroup.kill may be used
  CgroupMode mode = CgroupMode::kV1;

  // Held shared while a directory is made, exclusively while empty parents are removed.
  std::shared_mutex parents_mutex;
  std::mutex made_mutex;
  std::set<std::string> made;  // parents that we made, so that we may remove them

  RecentTaskFiles recent_tasks;

  // v1 wins where a controller is mounted there; nullptr = absent.
  const Hierarchy* ForController(const std::string& name) const {
    for (const Hierarchy& h : hierarchies) {
      if (!h.v2 && h.Has(name)) return &h;
    }
    return v2 && v2->Has(name) ? v2 : nullptr;
  }
  ControllerKind KindOf(const std::string& name) const {
    const Hierarchy* h = ForController(name);
    return !h ? ControllerKind::kAbsent : h->v2 ? ControllerKind::kV2 : ControllerKind::kV1;
  }
};

}  // namespace crisp::runtime
