#include "runtime/sandbox/pod_sandbox.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/files.h"
#include "runtime/base/pending.h"
#include "runtime/sandbox/namespace_visit.h"
#include "runtime/sandbox/sysctls.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr unsigned kInert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

StatusOr<UniqueFd> MakeTmpfs(const char* mode, uint64_t bytes, const std::string& label) {
  const UniqueFd context(sys::Fsopen("tmpfs"));
  if (!context.valid()) return ErrnoStatus(errno, "open tmpfs");
  const std::string size = std::to_string(bytes);
  if (sys::FsconfigString(context.get(), "mode", mode) != 0 ||
      sys::FsconfigString(context.get(), "size", size.c_str()) != 0 ||
      (!label.empty() && sys::FsconfigString(context.get(), "context", label.c_str()) != 0) ||
      sys::FsconfigCreate(context.get()) != 0) {
    return ErrnoStatus(errno, "make tmpfs of ", size, " bytes");
  }
  UniqueFd mount(sys::Fsmount(context.get(), kInert));
  if (!mount.valid()) return ErrnoStatus(errno, "mount tmpfs");
  return mount;
}

Status WriteFile(int dir, const char* name, const std::string& text) {
  const UniqueFd file(openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return ErrnoStatus(errno, "make /etc/", name);
  if (fchmod(file.get(), 0644) != 0) return ErrnoStatus(errno, "set mode of /etc/", name);
  return Annotate(WriteAll(file.get(), text), "write /etc/", name);
}

StatusOr<UniqueFd> MakeFiles(const PodSpec& spec) {
  ASSIGN_OR_RETURN(UniqueFd files, MakeTmpfs("0755", 64 << 10, spec.mount_label));
  RETURN_IF_ERROR(WriteFile(files.get(), "hosts", spec.hosts));
  RETURN_IF_ERROR(WriteFile(files.get(), "resolv.conf", spec.resolv_conf));
  RETURN_IF_ERROR(WriteFile(files.get(), "hostname", spec.hostname + "\n"));
  return files;
}

// Unprivileged ports and ping, as both peers give to every pod with its own network.
std::map<std::string, std::string> SysctlsOf(const PodSpec& spec) {
  std::map<std::string, std::string> all = spec.sysctls;
  if (spec.host_network) return all;
  all.insert({"net.ipv4.ip_unprivileged_port_start", "0"});
  all.insert({"net.ipv4.ping_group_range", "0 2147483647"});
  return all;
}

// The one that is given, or a new one.
Status Enter(int type, NamespaceVisit* visit, UniqueFd* given) {
  if (given->valid()) return visit->Join(type, given->get());
  RETURN_IF_ERROR(visit->Unshare(type));
  ASSIGN_OR_RETURN(*given, NamespaceVisit::Current(type));
  return absl::OkStatus();
}

Status FillNamespaces(const PodSpec& spec, PodSandbox* pod) {
  NamespaceVisit visit;
  if (!spec.host_ipc) RETURN_IF_ERROR(Enter(CLONE_NEWIPC, &visit, &pod->ipc));
  if (!spec.host_network) {
    RETURN_IF_ERROR(Enter(CLONE_NEWUTS, &visit, &pod->uts));
    if (sethostname(spec.hostname.data(), spec.hostname.size()) != 0) {
      return ErrnoStatus(errno, "set hostname ", spec.hostname);
    }
    RETURN_IF_ERROR(visit.Join(CLONE_NEWNET, pod->net.get()));
  }
  return WriteSysctls(SysctlsOf(spec));
}

std::string FilesDir(const std::string& id, const std::string& state_dir) {
  return absl::StrCat(state_dir, "/sandboxes/", id);
}

// Before 6.15 only an attached mount can be cloned for each container.
Status AttachAt(const UniqueFd& mount, const std::string& path) {
  if (!mount.valid()) return absl::OkStatus();
  RETURN_IF_ERROR(MakeDirs(path, 0700));
  if (sys::MoveMount(mount.get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, "attach ", path);
}

Status AttachMounts(const PodSandbox& pod, const std::string& id, const std::string& state_dir) {
  Pending undo([&] { (void)RemovePodSandboxFiles(id, state_dir); });
  RETURN_IF_ERROR(AttachAt(pod.shm, FilesDir(id, state_dir) + "/shm"));
  RETURN_IF_ERROR(AttachAt(pod.files, FilesDir(id, state_dir) + "/files"));
  undo.Commit();
  return absl::OkStatus();
}

}  // namespace

StatusOr<PodSandbox> MakePodSandbox(const PodSpec& spec, PodNamespaces given,
                                    const KernelFeatures& features, const std::string& state_dir) {
  for (const auto& [key, value] : spec.sysctls) {
    RETURN_IF_ERROR(ValidateSysctl(key, value, spec.host_network, spec.host_ipc));
  }
  PodSandbox pod;
  pod.user = std::move(given.user);
  pod.net = std::move(given.net);
  pod.ipc = std::move(given.ipc);
  pod.uts = std::move(given.uts);
  RETURN_IF_ERROR(FillNamespaces(spec, &pod));
  if (!spec.host_ipc) {
    ASSIGN_OR_RETURN(pod.shm, MakeTmpfs("1777", spec.shm_bytes, spec.mount_label));
  }
  ASSIGN_OR_RETURN(pod.files, MakeFiles(spec));
  if (!features.clone_detached_mount) RETURN_IF_ERROR(AttachMounts(pod, spec.id, state_dir));
  return pod;
}

Status RemovePodSandboxFiles(const std::string& id, const std::string& state_dir) {
  const std::string dir = FilesDir(id, state_dir);
  for (const char* name : {"/shm", "/files", ""}) {
    const std::string path = dir + name;
    if (*name != '\0' && umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 &&
        errno != EINVAL && errno != ENOENT) {
      return ErrnoStatus(errno, "unmount ", path);
    }
    if (rmdir(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "remove ", path);
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
