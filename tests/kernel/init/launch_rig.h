// A launcher without a keeper: the test process is the parent. Each launch runs a busybox shell
// script in a scratch root and returns what it wrote.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/container/plan_builder.h"
#include "runtime/init/launcher.h"
#include "runtime/sys/fd.h"

namespace crisp::testing {

struct RunResult {
  init::LaunchOutcome outcome;
  std::string out;  // stdout and stderr together
  int exit_code = -1;

  std::string Error() const;  // "step: text: errno", "" if it ran
};

class LaunchRig {
 public:
  LaunchRig();
  ~LaunchRig();

  // The image's directory: bin/busybox and links for its applets.
  const std::string& rootfs() const { return rootfs_; }

  // Changes the plan before the launch; descriptors made here are closed after it.
  using Edit = std::function<void(runtime::PlanBuilder&)>;
  // Default plan: full mount list, root, all capabilities of the host, no seccomp.
  RunResult Run(const std::vector<std::string>& args, const Edit& edit = {});
  RunResult Shell(const std::string& script, const Edit& edit = {}) {
    return Run({"/bin/sh", "-c", script}, edit);
  }

  // A container that stays: exec into it, then Stop.
  RunResult Start(const std::vector<std::string>& args, const Edit& edit = {});
  RunResult Exec(const RunResult& container, const std::vector<std::string>& args,
                 const Edit& edit = {});
  void Stop(RunResult& container);

  // Keeps a descriptor open until the next launch is over.
  int Keep(UniqueFd fd);

 private:
  void FillDefaults(runtime::PlanBuilder& plan, const std::vector<std::string>& args);
  void FillMounts(runtime::PlanBuilder& plan);
  RunResult Launch(runtime::PlanBuilder& plan, bool exec, bool wait);

  std::string rootfs_;
  std::vector<UniqueFd> kept_;
};

}  // namespace crisp::testing
