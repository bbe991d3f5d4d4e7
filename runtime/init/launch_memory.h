// Memory of a launch: guard page, the child's stack, argv and envp. A launcher's next launch uses
// it again.
#pragma once

#include <stddef.h>

#include "runtime/init/plan_view.h"

namespace crisp::init {

// One at a time in a thread. Other launchers' execs do not copy it: only for as long as this object
// lives, and only if `copied`, a fork of this process has it.
class LaunchMemory {
 public:
  explicit LaunchMemory(bool copied) : copied_(copied) {}
  LaunchMemory(const LaunchMemory&) = delete;
  LaunchMemory& operator=(const LaunchMemory&) = delete;
  ~LaunchMemory();

  // 0 or errno.
  int Map(const PlanView& plan);

  void* stack() const;
  static constexpr size_t kStackSize = 128 << 10;
  char** argv() const { return argv_; }
  char** envp() const { return envp_; }

 private:
  const bool copied_;
  char** argv_ = nullptr;
  char** envp_ = nullptr;
};

}  // namespace crisp::init
