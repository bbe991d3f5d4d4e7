// One cgroup.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cgroup/state.h"

namespace crisp::runtime {

class Group : public Cgroup {
 public:
  Group(std::shared_ptr<HostState> state, std::string path);

  // Opens the v2 directory, where there is one.
  Status Attach();

  const std::string& path() const override { return path_; }
  int v2_fd() const override { return v2_dir_.get(); }
  StatusOr<std::shared_ptr<const TaskFiles>> OpenTasks() const override;
  Status SetLimits(const CgroupLimits& limits) override;
  StatusOr<Pending> ChangeLimits(const CgroupLimits& limits) override;
  Status MakeRoom(int64_t bytes) override;
  Status SetDevices(const std::vector<DeviceRule>& allow) override;
  Status Kill(int timeout_ms) override;
  StatusOr<bool> Populated() const override;
  StatusOr<uint64_t> OomKills() const override;
  StatusOr<std::vector<pid_t>> Pids() const override;
  bool IsV1(const std::string& controller) const override {
    return state_->KindOf(controller) == ControllerKind::kV1;
  }
  StatusOr<UniqueFd> OpenFile(const std::string& controller, const std::string& v1_file,
                              const std::string& v2_file, bool parent) const override;
  Status Remove() override;

 private:
  const std::shared_ptr<HostState> state_;
  const std::string path_;
  UniqueFd v2_dir_;
};

}  // namespace crisp::runtime
