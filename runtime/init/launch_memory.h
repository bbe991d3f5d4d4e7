// Memory of one launch: guard page, the child's stack, argv and envp. One mmap, gone at the end.
#pragma once

#include <stddef.h>

#include "runtime/init/plan_view.h"

namespace crisp::init {

class LaunchMemory {
 public:
  LaunchMemory() = default;
  LaunchMemory(const LaunchMemory&) = delete;
  LaunchMemory& operator=(const LaunchMemory&) = delete;
  ~LaunchMemory();

  // 0 or errno.
  int Map(const PlanView& plan);

  void* stack() const { return stack_; }
  static constexpr size_t kStackSize = 128 << 10;
  char** argv() const { return argv_; }
  char** envp() const { return envp_; }

 private:
  void* base_ = nullptr;
  size_t size_ = 0;
  void* stack_ = nullptr;
  char** argv_ = nullptr;
  char** envp_ = nullptr;
};

}  // namespace crisp::init
