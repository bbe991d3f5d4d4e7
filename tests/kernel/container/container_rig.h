// A pod on this kernel: real keeper, real cgroups, a busybox image, a network namespace with
// nothing but lo. Everything lies below one scratch directory and one cgroup parent, both gone at
// the end.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/container/container_runtime.h"

namespace crisp::testing {

struct RunResult {
  Status status;    // of prepare or start
  std::string log;  // CRI log lines, contents only
  int exit_code = -1;
};

class ContainerRig {
 public:
  // The parent of all state is 0700 if `closed_parent`.
  explicit ContainerRig(const KernelFeatures& features, bool closed_parent = false);
  ~ContainerRig();

  std::string lower() const { return dir_ + "/image"; }
  std::string dir() const { return dir_; }
  const std::string& cgroup_parent() const { return cgroup_parent_; }
  runtime::RuntimeContext& context() { return context_; }
  const runtime::PodSandbox& pod() const { return pod_; }

  // A spec as cri/translate makes it for an ordinary container.
  runtime::ContainerSpec Spec(const std::vector<std::string>& args);
  runtime::ContainerSpec Shell(const std::string& script) {
    return Spec({"/bin/sh", "-c", script});
  }
  // Prepare, start, wait, destroy.
  RunResult Run(const runtime::ContainerSpec& spec);

  struct Running {
    runtime::ContainerSpec spec;
    std::unique_ptr<runtime::PreparedContainer> prepared;
    runtime::StartedContainer started;
    std::string log_path;
  };
  StatusOr<std::unique_ptr<Running>> Start(const runtime::ContainerSpec& spec);
  StatusOr<runtime::ExecOutput> Exec(Running& container, const std::vector<std::string>& args,
                                     int timeout_ms = 20000);
  // Kills, waits, removes. Returns the log.
  RunResult Stop(Running& container);
  RunResult Wait(Running& container);

 private:
  RunResult Finish(Running& container);
  int WaitExit(const std::string& id);

  std::string dir_, cgroup_parent_;
  std::unique_ptr<runtime::CgroupHost> cgroups_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> exits_;
  std::unique_ptr<keeper::KeeperClient> keeper_;
  runtime::RuntimeContext context_;
  runtime::PodSandbox pod_;
};

// Both ways of this kernel: what it can do, and with every fall-back.
std::vector<KernelFeatures> AllFeatures();

}  // namespace crisp::testing
