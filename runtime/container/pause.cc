#include "runtime/container/pause.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "runtime/base/pending.h"
#include "runtime/container/pause_program.h"
#include "runtime/container/plan_builder.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr char kSuffix[] = ".pause";
constexpr int kKillTimeoutMs = 5000;
constexpr uint32_t kNobody = 65534;
constexpr int kOomScore = -998;  // as the peers: the containers go first

// Others in the pod can reach its root by /proc/1/root: there must be nothing in it that their own
// masks keep from them.
constexpr const char* kMasked[] = {"/proc/acpi",        "/proc/asound", "/proc/interrupts",
                                   "/proc/kcore",       "/proc/keys",   "/proc/latency_stats",
                                   "/proc/sched_debug", "/proc/scsi",   "/proc/timer_list",
                                   "/proc/timer_stats"};
constexpr const char* kReadonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                     "/proc/sysrq-trigger"};

// An empty read-only root, with /proc where containers must copy it from here (pid_proc.h).
StatusOr<UniqueFd> MakeRoot() {
  const UniqueFd context(sys::Fsopen("tmpfs"));
  if (!context.valid() || sys::FsconfigString(context.get(), "mode", "0555") != 0 ||
      sys::FsconfigString(context.get(), "nr_inodes", "16") != 0 ||
      sys::FsconfigCreate(context.get()) != 0) {
    return ErrnoStatus(errno, "make the root of a pause");
  }
  UniqueFd root(
      sys::Fsmount(context.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  const sys::MountAttr readonly{MOUNT_ATTR_RDONLY, 0, 0, 0};
  if (!root.valid() || mkdirat(root.get(), "proc", 0555) != 0 ||
      sys::MountSetattr(root.get(), "", AT_EMPTY_PATH, readonly) != 0) {
    return ErrnoStatus(errno, "mount the root of a pause");
  }
  return root;
}

void FillView(const KernelFeatures& features, PlanBuilder* plan) {
  init::PlanHeader& head = plan->head();
  head.flags = init::kPlanNoNewPrivs | init::kPlanCgroupNamespace;
  if (features.proc_pidns) return;
  head.flags |= init::kPlanProc;
  head.masked = plan->Texts({std::begin(kMasked), std::end(kMasked)});
  head.readonly = plan->Texts({std::begin(kReadonly), std::end(kReadonly)});
}

void FillProcess(int program, int null, const IdMap& id_map, PlanBuilder* plan) {
  init::PlanHeader& head = plan->head();
  head.args = plan->Texts({"/crisp-pause"});
  head.program = plan->Fd(program);
  head.program_path = plan->Text("");
  head.cwd = plan->Text("/");
  head.oom_score_adj = kOomScore;
  head.uid = HostId(id_map.uids, kNobody) ? kNobody : 0;
  head.gid = HostId(id_map.gids, kNobody) ? kNobody : 0;
  for (init::FdIndex& fd : head.stdio) fd = plan->Fd(null);
}

StatusOr<UniqueFd> Launch(const std::string& pod_id, Cgroup& cgroup, const IdMap& id_map,
                          const PodSandbox& pod, const RuntimeContext& context) {
  ASSIGN_OR_RETURN(const UniqueFd program, PauseProgram());
  ASSIGN_OR_RETURN(const UniqueFd root, MakeRoot());
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return ErrnoStatus(errno, "open /dev/null");
  ASSIGN_OR_RETURN(const std::shared_ptr<const TaskFiles> tasks, cgroup.OpenTasks());
  PlanBuilder plan(init::PlanKind::kStart);
  FillView(context.features, &plan);
  FillProcess(program.get(), null.get(), id_map, &plan);
  std::vector<init::FdIndex> indices;
  for (const int fd : tasks->fds()) indices.push_back(plan.Fd(fd));
  plan.head().v1_tasks = plan.Table(indices);
  plan.head().cgroup_v2 = plan.Fd(cgroup.v2_fd());
  plan.head().root = plan.Fd(root.get());
  plan.head().net = plan.Fd(pod.net.get());
  plan.head().ipc = plan.Fd(pod.ipc.get());
  plan.head().uts = plan.Fd(pod.uts.get());
  plan.head().user = plan.Fd(pod.user.get());
  keeper::LaunchRequest request;
  request.id = PauseId(pod_id);
  request.pod_id = pod_id;
  request.deadline_ms = context.launch_ms;
  request.plan = plan.Finish();
  request.fds = plan.fds();
  ASSIGN_OR_RETURN(keeper::LaunchResult launched, context.keeper->Launch(request));
  return std::move(launched.pidfd);
}

}  // namespace

std::string PauseId(const std::string& pod_id) { return pod_id + kSuffix; }

std::string PodOfPause(const std::string& id) {
  absl::string_view pod = id;
  return absl::ConsumeSuffix(&pod, kSuffix) ? std::string(pod) : "";
}

StatusOr<Pause> StartPause(const std::string& pod_id, const std::string& cgroup_parent,
                           const IdMap& id_map, const PodSandbox& pod,
                           const RuntimeContext& context) {
  Pause pause;
  auto cgroup = context.cgroups->Create(cgroup_parent, pod_id);
  RETURN_IF_ERROR(Annotate(cgroup.status(), "make cgroup"));
  pause.cgroup = std::move(*cgroup);
  Pending undo([&] {
    (void)pause.cgroup->Kill(kKillTimeoutMs);
    (void)pause.cgroup->Remove();
  });
  auto pidfd = Launch(pod_id, *pause.cgroup, id_map, pod, context);
  RETURN_IF_ERROR(Annotate(pidfd.status(), "start the pod's first process"));
  pause.pidfd = std::move(*pidfd);
  pause.cgroup->Joined();
  undo.Commit();
  return pause;
}

std::unique_ptr<Cgroup> FindPauseCgroup(const std::string& pod_id, const std::string& cgroup_parent,
                                        const RuntimeContext& context) {
  auto cgroup = context.cgroups->Open(cgroup_parent, pod_id);
  return cgroup.ok() ? std::move(*cgroup) : nullptr;
}

}  // namespace crisp::runtime
