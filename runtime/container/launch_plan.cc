#include "runtime/container/launch_plan.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "runtime/container/bind_mount.h"
#include "runtime/container/cgroup_view.h"
#include "runtime/container/mount_rules.h"
#include "runtime/container/pid_proc.h"
#include "runtime/container/plan_builder.h"

namespace crisp::runtime {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxFds = 200;  // of a launch packet

bool HasVariable(const std::vector<std::string>& env, absl::string_view prefix) {
  return std::any_of(env.begin(), env.end(),
                     [&](const std::string& each) { return absl::StartsWith(each, prefix); });
}

std::vector<std::string> EnvOf(const ContainerSpec& spec, const Identity& identity, bool terminal) {
  std::vector<std::string> env = spec.env;
  // Of an exec with a terminal in a container without one; cri/translate did it for a container's.
  if (terminal && !HasVariable(env, "TERM=")) env.push_back("TERM=xterm");
  if (!HasVariable(env, "HOME=")) env.push_back("HOME=" + identity.home);
  return env;
}

std::string PathOf(const std::vector<std::string>& env) {
  for (const std::string& each : env) {
    if (absl::StartsWith(each, "PATH=")) return each.substr(5);
  }
  return kDefaultPath;
}

constexpr CapSet Bit(int capability) { return CapSet{1} << capability; }
constexpr CapSet kSysPtrace = Bit(19), kSysAdmin = Bit(21);

// See exec_init.cc: may somebody in the container trace a process with more capabilities? Who is in
// a shared pid namespace with it, or has joined its own, may have any.
bool FilterBeforeEntry(const ContainerSpec& spec) {
  if (spec.no_new_privs || spec.seccomp == nullptr) return false;
  if (spec.pid != NamespaceMode::kContainer || spec.joined)
    return (spec.caps.permitted & kSysAdmin) == 0;
  return (spec.caps.bounding & kSysPtrace) != 0 && (spec.caps.bounding & kSysAdmin) == 0;
}

// What start and exec have in common: who and what to run, and with which limits.
void FillProcess(const ContainerSpec& spec, const Identity& identity, const Stdio& stdio,
                 const std::vector<std::string>& args, PlanBuilder* plan) {
  init::PlanHeader& head = plan->head();
  const bool terminal = stdio.terminal();
  const std::vector<std::string> env = EnvOf(spec, identity, terminal);
  head.args = plan->Texts(args);
  head.env = plan->Texts(env);
  head.program_path = plan->Text(PathOf(env));
  head.cwd = plan->Text(spec.cwd.empty() ? "/" : spec.cwd);
  const std::string& profile = spec.apparmor_profile;
  head.apparmor = plan->Text(profile.empty() ? "" : "exec " + profile);
  head.process_label = plan->Text(spec.process_label);
  head.uid = identity.uid;
  head.gid = identity.gid;
  head.groups = plan->Table(identity.groups);
  head.caps = {spec.caps.bounding, spec.caps.effective, spec.caps.permitted, spec.caps.inheritable,
               spec.caps.ambient};
  head.oom_score_adj = spec.oom_score_adj;
  std::vector<init::PlanRlimit> rlimits;
  for (const Rlimit& limit : spec.rlimits) {
    rlimits.push_back({static_cast<uint32_t>(limit.resource), 0, limit.soft, limit.hard});
  }
  head.rlimits = plan->Table(rlimits);
  if (spec.no_new_privs) head.flags |= init::kPlanNoNewPrivs;
  if (spec.seccomp != nullptr) {
    head.seccomp_flags = spec.seccomp->flags;
    head.seccomp = plan->Bytes(spec.seccomp->bytes.data(), spec.seccomp->bytes.size(), 8);
  }
  if (terminal) head.flags |= init::kPlanTty;
  head.stdio[0] = plan->Fd(stdio.in.get());
  head.stdio[1] = plan->Fd(terminal ? stdio.in.get() : stdio.out.get());
  head.stdio[2] = plan->Fd(terminal ? stdio.in.get() : stdio.err.get());
}

void FillTasks(const std::vector<int>& fds, PlanBuilder* plan) {
  std::vector<init::FdIndex> tasks;
  for (const int fd : fds) tasks.push_back(plan->Fd(fd));
  plan->head().v1_tasks = plan->Table(tasks);
}

void FillCgroupView(PlanBuilder* plan) {
  const CgroupView& view = HostCgroupView();
  std::vector<init::PlanCgroupMount> mounts;
  for (const CgroupView::Hierarchy& each : view.hierarchies) {
    mounts.push_back({plan->Text(each.name), each.v2 ? 1u : 0u, plan->Texts(each.options)});
  }
  std::vector<init::PlanLink> links;
  for (const auto& [name, target] : view.links) {
    links.push_back({plan->Text(name), plan->Text(target)});
  }
  plan->head().cgroup_mounts = plan->Table(mounts);
  plan->head().cgroup_links = plan->Table(links);
}

// --- binds ---

struct Target {
  std::string path;
  int mount;
};

Status AddPodFiles(const PreparedContainer& prepared, const PodSandbox& pod, LaunchPlan* result,
                   std::vector<Target>* targets) {
  if (!pod.files.valid()) return absl::OkStatus();
  for (const char* name : {"hosts", "resolv.conf", "hostname"}) {
    const std::string path = absl::StrCat("/etc/", name);
    if (CoversPath(prepared.spec, path)) continue;
    ASSIGN_OR_RETURN(UniqueFd copy,
                     CloneMount(pod.files.get(), name, prepared.spec.readonly_rootfs));
    if (pod.user.valid()) RETURN_IF_ERROR(ApplyIdMap(copy.get(), pod.user.get()));
    targets->push_back({path, copy.get()});
    result->owned.push_back(std::move(copy));
  }
  return absl::OkStatus();
}

// Parents before what lies below them, in the order of the request where that leaves a choice.
void SortByDepth(std::vector<Target>* targets) {
  const auto depth = [](const Target& t) { return std::count(t.path.begin(), t.path.end(), '/'); };
  std::stable_sort(targets->begin(), targets->end(),
                   [&](const Target& a, const Target& b) { return depth(a) < depth(b); });
}

Status FillBinds(const PreparedContainer& prepared, const PodSandbox& pod, LaunchPlan* result,
                 PlanBuilder* plan) {
  std::vector<Target> targets;
  RETURN_IF_ERROR(AddPodFiles(prepared, pod, result, &targets));
  for (size_t i = 0; i < prepared.spec.mounts.size(); ++i) {
    targets.push_back({prepared.spec.mounts[i].target, prepared.bind_fds[i].get()});
  }
  SortByDepth(&targets);
  std::vector<init::PlanMount> mounts;
  for (const Target& target : targets) {
    ASSIGN_OR_RETURN(const bool directory, IsDirectory(target.mount));
    mounts.push_back({plan->Fd(target.mount), plan->Text(target.path), directory ? 1u : 0u,
                      IsKernelTree(target.path) ? 1u : 0u});
  }
  plan->head().mounts = plan->Table(mounts);
  return absl::OkStatus();
}

// --- /dev ---

Status FillDev(const PreparedContainer& prepared, const PodSandbox& pod, LaunchPlan* result,
               PlanBuilder* plan) {
  const ContainerSpec& spec = prepared.spec;
  if (CoversPath(spec, "/dev")) return absl::OkStatus();  // the pod brings all of it
  init::PlanHeader& head = plan->head();
  head.dev = plan->Fd(prepared.dev.get());
  if (!CoversPath(spec, "/dev/pts")) head.pts = plan->Fd(prepared.pts.get());
  if (!CoversPath(spec, "/dev/mqueue")) head.flags |= init::kPlanMqueue;
  if (spec.tty && head.pts != init::kNoFd) head.flags |= init::kPlanConsole;
  if (CoversPath(spec, "/dev/shm")) return absl::OkStatus();
  const bool own = pod.shm.valid();
  auto shm = CloneMount(own ? pod.shm.get() : -1, own ? "" : "/dev/shm", false);
  RETURN_IF_ERROR(Annotate(shm.status(), "shm"));
  if (pod.user.valid()) RETURN_IF_ERROR(ApplyIdMap(shm->get(), pod.user.get()));
  head.shm = plan->Fd(shm->get());
  result->owned.push_back(std::move(*shm));
  return absl::OkStatus();
}

void FillNamespaces(const PodSandbox& pod, PlanBuilder* plan) {
  plan->head().net = plan->Fd(pod.net.get());
  plan->head().ipc = plan->Fd(pod.ipc.get());
  plan->head().uts = plan->Fd(pod.uts.get());
  plan->head().user = plan->Fd(pod.user.get());
}

// The root of a user namespace gets no sysfs of the host's network namespace: a copy of the
// host's, without what is mounted in it.
Status FillSys(const PodSandbox& pod, LaunchPlan* result, PlanBuilder* plan) {
  if (!pod.user.valid() || pod.net.valid()) return absl::OkStatus();
  ASSIGN_OR_RETURN(UniqueFd sys, CloneMount(-1, "/sys", true));
  plan->head().sys = plan->Fd(sys.get());
  result->owned.push_back(std::move(sys));
  return absl::OkStatus();
}

Status FillPid(const ContainerSpec& spec, int pid, const KernelFeatures& features,
               LaunchPlan* result, PlanBuilder* plan) {
  if (spec.pid == NamespaceMode::kContainer) return absl::OkStatus();
  if (FilterBeforeEntry(spec)) plan->head().flags |= init::kPlanFilterBeforeEntry;
  if (spec.pid == NamespaceMode::kNode) {
    plan->head().flags |= init::kPlanHostPid;
    return absl::OkStatus();
  }
  if (pid < 0) return absl::FailedPreconditionError("no process whose pid namespace to join");
  ASSIGN_OR_RETURN(UniqueFd proc, MakePidProc(pid, features));
  plan->head().pid = plan->Fd(pid);
  plan->head().proc = plan->Fd(proc.get());
  result->owned.push_back(std::move(proc));
  return absl::OkStatus();
}

void FillRoot(const PreparedContainer& prepared, PlanBuilder* plan) {
  const ContainerSpec& spec = prepared.spec;
  init::PlanHeader& head = plan->head();
  head.flags |= init::kPlanProc | init::kPlanSys | init::kPlanCgroupNamespace;
  if (spec.privileged) head.flags |= init::kPlanSysWritable;
  if (spec.readonly_rootfs) head.flags |= init::kPlanReadonlyRoot;
  head.root = plan->Fd(prepared.rootfs.get());
  head.mount_label = plan->Text(spec.mount_label);
  head.masked = plan->Texts(spec.masked_paths);
  head.readonly = plan->Texts(spec.readonly_paths);
}

Status Finish(PlanBuilder* plan, LaunchPlan* result) {
  result->fds = plan->fds();
  if (result->fds.size() > kMaxFds) {
    return InvalidField("mounts", absl::StrCat(result->fds.size(), " descriptors"),
                        "too many mounts for one container");
  }
  result->bytes = plan->Finish();
  if (result->bytes.size() <= init::kPlanMaxSize) return absl::OkStatus();
  return InvalidField("args and envs", absl::StrCat(result->bytes.size(), " bytes"), "too long");
}

}  // namespace

uint32_t HostUid(const ContainerSpec& spec, const Identity& identity) {
  return HostId(spec.id_map.uids, identity.uid).value_or(identity.uid);
}

bool CoversPath(const ContainerSpec& spec, const std::string& path) {
  return std::any_of(spec.mounts.begin(), spec.mounts.end(),
                     [&](const BindMount& mount) { return mount.target == path; });
}

StatusOr<LaunchPlan> MakeStartPlan(const PreparedContainer& prepared, const PodSandbox& pod,
                                   const std::vector<int>& v1_tasks, const Stdio& stdio, int pid,
                                   const KernelFeatures& features) {
  PlanBuilder plan(init::PlanKind::kStart);
  LaunchPlan result;
  FillProcess(prepared.spec, prepared.identity, stdio, prepared.spec.args, &plan);
  plan.head().cgroup_v2 = plan.Fd(prepared.cgroup->v2_fd());
  FillTasks(v1_tasks, &plan);
  FillCgroupView(&plan);
  FillNamespaces(pod, &plan);
  RETURN_IF_ERROR(FillPid(prepared.spec, pid, features, &result, &plan));
  FillRoot(prepared, &plan);
  RETURN_IF_ERROR(FillSys(pod, &result, &plan));
  RETURN_IF_ERROR(FillDev(prepared, pod, &result, &plan));
  RETURN_IF_ERROR(FillBinds(prepared, pod, &result, &plan));
  RETURN_IF_ERROR(Finish(&plan, &result));
  return result;
}

StatusOr<LaunchPlan> MakeExecPlan(const ContainerSpec& spec, const Identity& identity, int pidfd,
                                  int cgroup_v2, const std::vector<int>& v1_tasks,
                                  const Stdio& stdio, const std::vector<std::string>& args) {
  PlanBuilder plan(init::PlanKind::kExec);
  LaunchPlan result;
  FillProcess(spec, identity, stdio, args, &plan);
  if (FilterBeforeEntry(spec)) plan.head().flags |= init::kPlanFilterBeforeEntry;
  const bool user_namespace = !spec.id_map.empty();
  if (user_namespace) plan.head().flags |= init::kPlanUserNamespace;
  // A target may be in the node's pid namespace.
  const bool seen =
      spec.pid == NamespaceMode::kNode || spec.pid == NamespaceMode::kTarget || user_namespace;
  const bool memory_in_v2 = cgroup_v2 >= 0 && v1_tasks.empty();
  if (seen || memory_in_v2) plan.head().flags |= init::kPlanOwnMemory;
  plan.head().cgroup_v2 = plan.Fd(cgroup_v2);
  plan.head().container = plan.Fd(pidfd);
  FillTasks(v1_tasks, &plan);
  RETURN_IF_ERROR(Finish(&plan, &result));
  return result;
}

}  // namespace crisp::runtime
