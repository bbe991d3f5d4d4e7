// Prepare, start and exec of one container: everything assembled by fd in the daemon, one packet to
// the keeper.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/base/side_thread.h"
#include "runtime/container/container_spec.h"
#include "runtime/container/left_groups.h"
#include "runtime/keeper/client.h"
#include "runtime/sandbox/pod_sandbox.h"

namespace crisp::runtime {

struct RuntimeContext {
  CgroupHost* cgroups = nullptr;
  keeper::KeeperClient* keeper = nullptr;
  KernelFeatures features;
  SideThread* side = nullptr;         // for steps that need not wait for each other; null: none
  LeftGroups* left_groups = nullptr;  // null: groups of execs may stay as long as their container
  int launch_ms = 30000;              // within this a process must run, or its launch is undone
  std::string oci_dir;                // <state>/oci: bundles of containers of external runtimes
  std::string containers_dir;         // <root>/containers (0711, TOPDIR): <id>/{upper,work} below
  std::string mount_points_dir;       // made by MakeMountPoints; "": none
  // Where exit events go through policy: the wait(2) status of an exec, DEADLINE_EXCEEDED after
  // `timeout_ms`. Unset: the status is read from the pidfd (6.15), which needs no event.
  std::function<StatusOr<int>(const std::string& exec_id, int timeout_ms)> wait_exit;
};

// Assembled, nothing attached, nothing running. Destroying it closes the mount fds; the cgroup and
// the upper directory stay until DestroyContainer (they carry the id in their names, so that a
// sweep finds them).
struct PreparedContainer {
  ContainerSpec spec;
  Identity identity;
  std::unique_ptr<Cgroup> cgroup;
  UniqueFd rootfs;                 // detached overlay mount
  UniqueFd dev, pts;               // detached /dev and /dev/pts
  UniqueFd id_map;                 // a user namespace with spec.id_map, where there is one
  std::vector<UniqueFd> bind_fds;  // detached bind mounts, in spec.mounts order
};

// Makes upper/work, overlay, identity, cgroup with limits, bind trees. On failure nothing is left
// behind. With `reuse`, an existing upper directory and cgroup of this id are taken over (start
// after a daemon restart).
StatusOr<std::unique_ptr<PreparedContainer>> PrepareContainer(const ContainerSpec& spec,
                                                              const RuntimeContext& context,
                                                              bool reuse);

struct StartOptions {
  int log = -1;  // borrowed; see LaunchRequest
  uint64_t log_offset = 0;
  uint32_t max_log_line = 16384;
  uint64_t log_file_bytes = 0, log_rate_bytes = 0;
  int pid_target = -1;  // borrowed: pidfd of the target's first process (NamespaceMode::kTarget)
};

struct StartedContainer {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd stdin_write;  // valid if spec.stdin_open (pty master when tty)
  int64_t started_nanos = 0;
};

// Launches. Whatever the result, every mount fd of `prepared` is closed on return (the kubelet
// unmounts volumes right after the exit). On failure the cgroup is killed and empty.
StatusOr<StartedContainer> StartContainer(PreparedContainer& prepared, const PodSandbox& pod,
                                          const RuntimeContext& context,
                                          const StartOptions& options);

struct ExecSpec {
  std::vector<std::string> args;
  int timeout_ms = 0;            // 0: none
  size_t output_cap = 16 << 20;  // per stream; more is read and dropped
  int drain_ms = 100;            // after the exit, for children that hold stdout
};
struct ExecOutput {
  std::string out, err;
  int exit_code = 0;
};

// ExecSync. DEADLINE_EXCEEDED at the time-out, with the whole exec'd tree killed. `spec` is the
// container's own: identity, caps, seccomp, env and cwd are inherited. `pidfd`: the container's
// first process.
StatusOr<ExecOutput> ExecInContainer(const ContainerSpec& spec, const Identity& identity, int pidfd,
                                     Cgroup& cgroup, const PodSandbox& pod,
                                     const RuntimeContext& context, const ExecSpec& exec);

// Kills what is left, removes cgroup and upper directory. Idempotent; may be slow (janitor).
Status DestroyContainer(const std::string& id, const std::string& cgroup_parent,
                        const RuntimeContext& context);

}  // namespace crisp::runtime
