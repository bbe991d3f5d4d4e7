// A cgroup of its own for one exec, so that a time-out ends everything that it started.
#pragma once

#include <string>

#include "runtime/base/status.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/container/left_groups.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// "exec-<8hex>" below the container's cgroup in the v2 tree, or nothing where there is none (or no
// cgroup.kill). Removed at the end of the scope; if the exec left a process behind, with the last
// of them (`left`; without it, with the container).
class ExecCgroup {
 public:
  static StatusOr<ExecCgroup> Make(const Cgroup& container, bool cgroup_kill, LeftGroups* left);
  ExecCgroup(ExecCgroup&&) = default;
  ExecCgroup& operator=(ExecCgroup&&) = delete;
  ~ExecCgroup();

  // For CLONE_INTO_CGROUP: its own, else the container's, else -1.
  int fd() const { return dir_.valid() ? dir_.get() : parent_; }
  // False: there is none, or the kernel refused; the caller kills by pidfd.
  bool Kill() const;

 private:
  explicit ExecCgroup(int parent) : parent_(parent) {}

  int parent_;                  // borrowed
  LeftGroups* left_ = nullptr;  // borrowed
  std::string name_;
  UniqueFd dir_;
};

}  // namespace crisp::runtime
