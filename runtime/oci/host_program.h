// Runs a program of the host as the keeper's child in the daemon's own namespaces. The keeper is a
// subreaper: what such a program leaves running (a container's first process) becomes its child
// too.
#pragma once

#include <string>
#include <vector>

#include "runtime/container/container_runtime.h"
#include "runtime/container/stdio.h"

namespace crisp::runtime {

class HostProgram {
 public:
  // `stdio`: its in, out and err are given to the program and closed here. `v2`: directory
  // of the v2 tree to be born in, -1: the keeper's.
  static StatusOr<HostProgram> Start(const std::vector<std::string>& args, Stdio& stdio,
                                     const RuntimeContext& context, int v2 = -1);
  // Forgotten by the keeper; killed if it still runs.
  ~HostProgram();
  HostProgram(HostProgram&&) = default;

  int pidfd() const { return pidfd_.get(); }
  // The wait(2) status once it has ended (kUnknownStatus if nobody can tell); DEADLINE_EXCEEDED
  // after `timeout_ms`.
  StatusOr<int> Wait(int timeout_ms);

 private:
  HostProgram(std::string id, UniqueFd pidfd, const RuntimeContext& context)
      : id_(std::move(id)), pidfd_(std::move(pidfd)), context_(&context) {}

  std::string id_;
  UniqueFd pidfd_;
  const RuntimeContext* context_;
};

// /dev/null three times.
StatusOr<Stdio> MakeNullStdio();

}  // namespace crisp::runtime
