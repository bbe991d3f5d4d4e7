// Cgroups of pods and containers on v1, v2 and hybrid hosts. Controllers are found one by one where
// they are mounted. Source: kernel Documentation/admin-guide/cgroup-{v1,v2}; field conversions as
// in the OCI runtime specification.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/kernel_features.h"
#include "runtime/base/pending.h"
#include "runtime/base/status.h"
#include "runtime/cgroup/task_files.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

// Limits as CRI's LinuxContainerResources gives them; unset = leave alone.
struct CgroupLimits {
  std::optional<int64_t> cpu_period_us, cpu_quota_us;
  std::optional<uint64_t> cpu_shares;   // 2..262144; v2: converted to cpu.weight
  std::optional<int64_t> memory_bytes;  // -1: no limit
  std::optional<int64_t>
      memory_swap_bytes;  // memory + swap, as v1 counts; ignored (warning) without swap accounting
  std::optional<int64_t> pids;                // -1: no limit
  std::string cpuset_cpus, cpuset_mems;       // "0-3,5"; empty = leave
  std::map<std::string, uint64_t> hugepages;  // "2MB" -> bytes
  std::map<std::string, std::string>
      unified;  // raw v2 files; refused where the v2 controller is absent
};

enum class CgroupMode { kV1, kHybrid, kV2 };

struct DeviceRule {      // an allow list; everything else is denied
  char type;             // 'c', 'b' or 'a'
  int64_t major, minor;  // -1: any
  std::string access;    // of "rwm"
};

// One container's (or pod's) cgroup: a directory of the same path in each hierarchy. Removed only
// by Remove().
class Cgroup {
 public:
  virtual ~Cgroup() = default;
  // Path below the hierarchy roots, e.g. "/kubepods/pod1/<64hex>".
  virtual const std::string& path() const = 0;
  // O_PATH fd of the directory in the v2 tree for CLONE_INTO_CGROUP, or -1 where no v2 tree is
  // mounted.
  virtual int v2_fd() const = 0;
  // The `tasks` files of the v1 hierarchies; none on pure v2. NOT_FOUND where a hierarchy lacks the
  // cgroup: the process would run outside of its limits.
  virtual StatusOr<std::shared_ptr<const TaskFiles>> OpenTasks() const = 0;
  // Somebody else is a member now: what was there to keep it in being may go.
  virtual void Joined() {}
  // All-or-nothing: on failure the values written so far are put back. ChangeLimits can still be
  // undone: what it returns puts the old values back unless it is committed.
  virtual Status SetLimits(const CgroupLimits& limits) = 0;
  virtual StatusOr<Pending> ChangeLimits(const CgroupLimits& limits) = 0;
  // Before a memory limit is lowered to `bytes`: v2 would enforce a limit below the use by killing.
  // FAILED_PRECONDITION when the use cannot be brought below it. v1 refuses the write itself.
  virtual Status MakeRoom(int64_t bytes) = 0;
  virtual Status SetDevices(const std::vector<DeviceRule>& allow) = 0;
  // SIGKILL to every member, now and later ones: cgroup.kill where there is a v2 tree, else freezer
  // + SIGKILL until empty. Returns when the signals are sent and the group is empty, or
  // DEADLINE_EXCEEDED after `timeout_ms`.
  virtual Status Kill(int timeout_ms) = 0;
  virtual StatusOr<bool> Populated() const = 0;
  // The counter of OOM kills in this cgroup (v1 memory.oom_control oom_kill, v2 memory.events
  // oom_kill).
  virtual StatusOr<uint64_t> OomKills() const = 0;
  // The same of a group that may be gone already: systemd removes a scope with its last process.
  // Where nobody can tell it from others that went with it, it has one if that is `likely`.
  virtual StatusOr<uint64_t> OomKillsAtEnd(bool /*likely*/) const { return OomKills(); }
  virtual StatusOr<std::vector<pid_t>> Pids() const = 0;
  // Whether this controller is mounted as v1: then it is there that its files are.
  virtual bool IsV1(const std::string& controller) const = 0;
  // Opens a file of this cgroup (`parent`: of the one above) for reading: `v1_file` where the
  // controller is mounted as v1, else `v2_file` of the v2 tree. NOT_FOUND where there is none.
  virtual StatusOr<UniqueFd> OpenFile(const std::string& controller, const std::string& v1_file,
                                      const std::string& v2_file, bool parent) const = 0;
  // Closes the held fds and removes the directories, children first; EBUSY is retried by the caller
  // (janitor).
  virtual Status Remove() = 0;
};

class CgroupHost {
 public:
  virtual ~CgroupHost() = default;
  // Reads /proc/self/mountinfo of the calling process. `features.cgroup_kill` false: the fall-back
  // is used.
  static StatusOr<std::unique_ptr<CgroupHost>> Probe(const KernelFeatures& features);
  virtual CgroupMode mode() const = 0;
  // Are the groups units of systemd (else plain directories)?
  virtual bool systemd() const { return false; }
  // "memory" -> true where the controller is usable, in v1 or v2.
  virtual bool HasController(const std::string& name) const = 0;
  // Makes parents as needed (without limits), then the directory `parent`/`name`; EEXIST is an
  // error naming the path. `at_start`: what a service manager has to know from the beginning; the
  // caller sets them all the same. `parent`: CRI cgroup_parent in cgroupfs syntax
  // ("/kubepods/besteffort/pod1"), "" = "/crisp". Refuses "..".
  virtual StatusOr<std::unique_ptr<Cgroup>> Create(const std::string& parent,
                                                   const std::string& name,
                                                   const CgroupLimits& at_start = {}) = 0;
  // What Create() would make above the group, ahead of it. LeaveParent() removes it again if we
  // made it and nothing is in it.
  virtual Status MakeParent(const std::string& parent) = 0;
  virtual void LeaveParent(const std::string& parent) = 0;
  // The topmost directory that MakeParent() would make, "" if none is missing: to be journaled
  // before, so that AdoptParent() after a restart knows what was made or only half made.
  virtual StatusOr<std::string> MissingParent(const std::string& parent) const = 0;
  virtual void AdoptParent(const std::string& top, const std::string& parent) = 0;
  // An existing one (after a restart of the daemon). NOT_FOUND when it exists in no hierarchy.
  virtual StatusOr<std::unique_ptr<Cgroup>> Open(const std::string& parent,
                                                 const std::string& name) = 0;
  // Full paths of directories named like our ids (64 hex) below `parent`: for the sweep at start.
  virtual StatusOr<std::vector<std::string>> ListIds(const std::string& parent) const = 0;
  // "/" + normalised parent; INVALID_ARGUMENT for "..", NUL, over-long components.
  virtual StatusOr<std::string> NormalizeParent(const std::string& parent) const = 0;
};

}  // namespace crisp::runtime
