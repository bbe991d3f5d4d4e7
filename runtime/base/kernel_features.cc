// Each probe does the thing itself: version numbers say little on distribution kernels.
#include "runtime/base/kernel_features.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/fd.h"
#include "runtime/sys/mount.h"

namespace crisp {
namespace {

// Up to the mount: kernels before 6.5 take any key in fsconfig and complain only there.
bool MountWithLowerdirPlus(const std::string& dir) {
  const UniqueFd context(sys::Fsopen("overlay"));
  if (!context.valid()) return false;
  for (const char* layer : {"/a", "/b"}) {
    if (sys::FsconfigString(context.get(), "lowerdir+", (dir + layer).c_str()) != 0) return false;
  }
  if (sys::FsconfigCreate(context.get()) != 0) return false;
  return UniqueFd(sys::Fsmount(context.get(), MOUNT_ATTR_RDONLY)).valid();
}

bool ProbeOverlay() {
  std::string dir = "/tmp/crisp-probe-XXXXXX";
  if (mkdtemp(dir.data()) == nullptr) return false;
  mkdir((dir + "/a").c_str(), 0700);
  mkdir((dir + "/b").c_str(), 0700);
  const bool works = MountWithLowerdirPlus(dir);
  for (const char* name : {"/a", "/b", ""}) rmdir((dir + name).c_str());
  return works;
}

bool ProbeCloneDetached() {
  const UniqueFd context(sys::Fsopen("tmpfs"));
  if (!context.valid() || sys::FsconfigCreate(context.get()) != 0) return false;
  const UniqueFd mount(sys::Fsmount(context.get(), 0));
  const unsigned flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  return mount.valid() && UniqueFd(sys::OpenTree(mount.get(), "", flags)).valid();
}

bool ProbePidfdExit() {
  int raw = -1;
  sys::CloneArgs args{};
  args.flags = CLONE_PIDFD;  // own memory: this process may have other threads
  args.pidfd = reinterpret_cast<uint64_t>(&raw);
  args.exit_signal = SIGCHLD;
  const pid_t pid = sys::Clone3(args);
  if (pid == 0) _exit(42);
  if (pid < 0) return false;
  const UniqueFd pidfd(raw);
  siginfo_t info{};
  sys::Retry([&] {
    return waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd.get()), &info, WEXITED);
  });
  int status = 0;
  return sys::PidfdExitStatus(pidfd.get(), &status) == 0 && WEXITSTATUS(status) == 42;
}

bool ProbeProcPidns() {
  const UniqueFd own(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  const UniqueFd context(sys::Fsopen("proc"));
  return own.valid() && context.valid() &&
         sys::FsconfigFd(context.get(), "pidns", own.get()) == 0 &&
         sys::FsconfigCreate(context.get()) == 0;
}

// A process of a new user namespace that maps id 0 to itself, for as long as it is looked at.
bool IdMapTmpfs(pid_t pid) {
  const std::string proc = absl::StrCat("/proc/", pid, "/");
  if (!WriteControlFile(AT_FDCWD, proc + "uid_map", "0 0 1").ok()) return false;
  if (!WriteControlFile(AT_FDCWD, proc + "gid_map", "0 0 1").ok()) return false;
  const UniqueFd user(open((proc + "ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd context(sys::Fsopen("tmpfs"));
  if (!user.valid() || !context.valid() || sys::FsconfigCreate(context.get()) != 0) return false;
  const UniqueFd mount(sys::Fsmount(context.get(), 0));
  const sys::MountAttr map{MOUNT_ATTR_IDMAP, 0, 0, static_cast<uint64_t>(user.get())};
  return mount.valid() && sys::MountSetattr(mount.get(), "", AT_EMPTY_PATH, map) == 0;
}

bool ProbeUserNamespaces() {
  int raw = -1;
  sys::CloneArgs args{};
  args.flags = CLONE_PIDFD | CLONE_NEWUSER;  // own memory: this process may have other threads
  args.pidfd = reinterpret_cast<uint64_t>(&raw);
  args.exit_signal = SIGCHLD;
  const pid_t pid = sys::Clone3(args);
  if (pid == 0) {
    for (;;) pause();
  }
  if (pid < 0) return false;
  const UniqueFd pidfd(raw);
  const bool works = IdMapTmpfs(pid);
  siginfo_t info{};
  sys::PidfdSendSignal(pidfd.get(), SIGKILL);
  sys::Retry([&] {
    return waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd.get()), &info, WEXITED);
  });
  return works;
}

// "36 35 98:0 /root /mnt opts - type ...": the first cgroup2 mount of this process, "" if none.
std::string FindCgroup2() {
  const auto text = ReadFile("/proc/self/mountinfo");
  if (!text.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> fields = absl::StrSplit(halves.first, ' ');
    if (fields.size() > 4 && halves.second.substr(0, 8) == "cgroup2 ") {
      return std::string(fields[4]);
    }
  }
  return "";
}

// The root cgroup has no cgroup.kill, so a cgroup is made to look.
bool ProbeCgroupKill() {
  const std::string mount = FindCgroup2();
  if (mount.empty()) return false;
  const std::string dir = mount + "/crisp-probe-" + RandomHex(8);
  if (mkdir(dir.c_str(), 0755) != 0) return false;
  const bool works = access((dir + "/cgroup.kill").c_str(), F_OK) == 0;
  rmdir(dir.c_str());
  return works;
}

Status SwitchOff(absl::string_view name, KernelFeatures* features) {
  const struct {
    absl::string_view name;
    bool* flag;
  } all[] = {{"overlay_lowerdir_plus", &features->overlay_lowerdir_plus},
             {"clone_detached_mount", &features->clone_detached_mount},
             {"pidfd_exit_info", &features->pidfd_exit_info},
             {"proc_pidns", &features->proc_pidns},
             {"user_namespaces", &features->user_namespaces},
             {"cgroup_kill", &features->cgroup_kill}};
  bool known = false;
  for (const auto& each : all) {
    if (name != each.name && name != "all") continue;
    *each.flag = false;
    known = true;
  }
  if (known) return absl::OkStatus();
  return InvalidField("debug.kernel_features_off", name,
                      "must be all, overlay_lowerdir_plus, clone_detached_mount, pidfd_exit_info, "
                      "proc_pidns, user_namespaces or cgroup_kill");
}

}  // namespace

StatusOr<KernelFeatures> ProbeKernelFeatures(const std::vector<std::string>& off) {
  KernelFeatures features;
  features.overlay_lowerdir_plus = ProbeOverlay();
  features.clone_detached_mount = ProbeCloneDetached();
  features.pidfd_exit_info = ProbePidfdExit();
  features.proc_pidns = ProbeProcPidns();
  features.user_namespaces = ProbeUserNamespaces();
  features.cgroup_kill = ProbeCgroupKill();
  for (const std::string& name : off) RETURN_IF_ERROR(SwitchOff(name, &features));
  const char* environment = getenv("CRISP_FEATURES_OFF");
  const absl::string_view names = environment == nullptr ? "" : environment;
  for (absl::string_view name : absl::StrSplit(names, ',', absl::SkipEmpty())) {
    RETURN_IF_ERROR(SwitchOff(name, &features));
  }
  return features;
}

}  // namespace crisp
