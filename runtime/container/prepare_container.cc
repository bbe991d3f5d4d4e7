// CreateContainer's part: everything that can be made before anything runs.
#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/base/files.h"
#include "runtime/base/pending.h"
#include "runtime/base/side_thread.h"
#include "runtime/container/bind_mount.h"
#include "runtime/container/container_runtime.h"
#include "runtime/container/dev_tree.h"
#include "runtime/container/image_volume.h"
#include "runtime/container/mapped_overlay.h"
#include "runtime/container/mount_rules.h"
#include "runtime/container/overlay.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxMounts = 150;  // the launch packet takes 200 descriptors

// What would silently break the container's view; the child checks again by what paths resolve to.
Status CheckSpec(const ContainerSpec& spec) {
  if (spec.args.empty()) return InvalidField("args", "", "nothing to run");
  if (spec.lower_dirs.empty()) return InvalidField("image", spec.id, "has no layers");
  if (spec.mounts.size() > kMaxMounts) {
    return InvalidField("mounts", absl::StrCat(spec.mounts.size()), "at most 150 are possible");
  }
  for (const BindMount& mount : spec.mounts) {
    RETURN_IF_ERROR(CheckMountTarget(mount.target, spec.privileged));
  }
  return absl::OkStatus();
}

std::string DirOf(const ContainerSpec& spec, const RuntimeContext& context) {
  return absl::StrCat(context.containers_dir, "/", spec.id);
}

Status MakeDir(const std::string& path, bool reuse) {
  if (mkdir(path.c_str(), 0711) == 0) return absl::OkStatus();
  if (errno == EEXIST && reuse) return absl::OkStatus();
  return ErrnoStatus(errno, "make directory ", path);
}

// The root directory of the merged tree shows the upper directory's attributes: give it the
// image's, so that the workload can enter its own "/" whatever user it is.
Status CopyRootAttributes(const std::string& image, const std::string& upper, const IdMap& map) {
  struct stat info;
  if (stat(image.c_str(), &info) != 0) return ErrnoStatus(errno, "read layer ", image);
  const uint32_t uid = HostId(map.uids, info.st_uid).value_or(info.st_uid);
  const uint32_t gid = HostId(map.gids, info.st_gid).value_or(info.st_gid);
  if (chown(upper.c_str(), uid, gid) != 0 || chmod(upper.c_str(), info.st_mode & 07777) != 0) {
    return ErrnoStatus(errno, "set attributes of ", upper);
  }
  return absl::OkStatus();
}

Status MakeDirectories(const ContainerSpec& spec, const RuntimeContext& context, bool reuse) {
  const std::string dir = DirOf(spec, context);
  RETURN_IF_ERROR(MakeDirs(context.containers_dir, 0711));
  RETURN_IF_ERROR(MakeDir(dir, reuse));
  RETURN_IF_ERROR(MakeDir(dir + "/upper", reuse));
  RETURN_IF_ERROR(CopyRootAttributes(spec.lower_dirs.front(), dir + "/upper", spec.id_map));
  if (reuse) {  // a volatile mount leaves a mark there that forbids the next mount
    ASSIGN_OR_RETURN(const UniqueFd parent, OpenDir(dir));
    RETURN_IF_ERROR(RemoveTreeAt(parent.get(), "work"));
  }
  return MakeDir(dir + "/work", reuse);
}

void RemoveDirectories(const std::string& id, const std::string& containers_dir) {
  const auto parent = OpenDir(containers_dir);
  if (parent.ok()) (void)RemoveTreeAt(parent->get(), id);
}

// A group that stands there already is made anew, never cloned into again: once cgroup.kill was
// written to it, 6.18 kills every later clone3(CLONE_INTO_CGROUP) child at birth (it compares the
// kill_seq of the parent's group with that of the target).
Status MakeCgroup(PreparedContainer* prepared, const RuntimeContext& context, bool reuse) {
  const ContainerSpec& spec = prepared->spec;
  if (reuse) {
    auto old = context.cgroups->Open(spec.cgroup_parent, spec.id);
    if (old.ok())
      RETURN_IF_ERROR(Annotate((*old)->Remove(), "remove the cgroup of an earlier start"));
  }
  auto group = context.cgroups->Create(spec.cgroup_parent, spec.id, spec.limits);
  RETURN_IF_ERROR(Annotate(group.status(), "make cgroup"));
  prepared->cgroup = std::move(*group);
  return absl::OkStatus();
}

Status LimitCgroup(const PreparedContainer& prepared) {
  RETURN_IF_ERROR(Annotate(prepared.cgroup->SetLimits(prepared.spec.limits), "set cgroup limits"));
  return Annotate(prepared.cgroup->SetDevices(prepared.spec.device_rules), "set device rules");
}

Status MakeLimitedCgroup(PreparedContainer* prepared, const RuntimeContext& context, bool reuse) {
  RETURN_IF_ERROR(MakeCgroup(prepared, context, reuse));
  RETURN_IF_ERROR(LimitCgroup(*prepared));
  return prepared->cgroup->OpenTasks().status();  // ahead: the start will find them open
}

// Old kernels take one page of names: none of it for what a start can make itself.
std::vector<std::string> Layers(const ContainerSpec& spec, const RuntimeContext& context) {
  std::vector<std::string> dirs = spec.lower_dirs;
  if (!context.mount_points_dir.empty() && context.features.overlay_lowerdir_plus)
    dirs.push_back(context.mount_points_dir);
  return dirs;
}

Status MakeRoot(PreparedContainer* prepared, const RuntimeContext& context) {
  const ContainerSpec& spec = prepared->spec;
  const std::string dir = DirOf(spec, context);
  if (spec.id_map.empty()) {
    ASSIGN_OR_RETURN(prepared->rootfs,
                     MakeOverlay(Layers(spec, context), dir + "/upper", dir + "/work",
                                 context.features, spec.mount_label));
  } else {
    ASSIGN_OR_RETURN(prepared->id_map, MakeUserNamespace(spec.id_map));
    ASSIGN_OR_RETURN(prepared->rootfs,
                     MakeMappedOverlay(spec.lower_dirs, dir, prepared->id_map.get(),
                                       context.features, spec.mount_label));
  }
  ASSIGN_OR_RETURN(prepared->identity,
                   ResolveIdentity(prepared->rootfs.get(), prepared->spec.user));
  return absl::OkStatus();
}

Status MakeDevices(PreparedContainer* prepared) {
  ASSIGN_OR_RETURN(prepared->dev, MakeDevTree(prepared->spec.devices, prepared->spec.tty,
                                              prepared->spec.mount_label));
  constexpr uint32_t kTtyGroup = 5;
  const std::vector<IdRange>& gids = prepared->spec.id_map.gids;
  ASSIGN_OR_RETURN(prepared->pts, MakeDevPts(HostId(gids, kTtyGroup).value_or(kTtyGroup),
                                             prepared->spec.mount_label));
  if (!prepared->id_map.valid()) return absl::OkStatus();
  return Annotate(ApplyIdMap(prepared->dev.get(), prepared->id_map.get()), "/dev");
}

// The mounts of a pod share their mappings, so one namespace serves them all.
class MapNamespaces {
 public:
  StatusOr<int> For(const IdMap& map) {
    if (map.empty()) return -1;
    if (!made_.valid() || !(map == map_)) {
      ASSIGN_OR_RETURN(made_, MakeUserNamespace(map));
      map_ = map;
    }
    return made_.get();
  }

 private:
  IdMap map_;
  UniqueFd made_;
};

StatusOr<UniqueFd> MakeVolume(const BindMount& mount, int user_namespace, const ContainerSpec& spec,
                              const RuntimeContext& context) {
  const std::string empty = DirOf(spec, context) + "/empty";
  RETURN_IF_ERROR(MakeDir(empty, /*reuse=*/true));
  return MakeImageVolume(mount, empty, user_namespace, context.features, spec.mount_label);
}

Status MakeBinds(PreparedContainer* prepared, const RuntimeContext& context) {
  MapNamespaces namespaces;
  for (const BindMount& mount : prepared->spec.mounts) {
    if (!mount.image_layers.empty()) {
      // The files of an image are the pod's, as its root is, also if the mount does not say so.
      ASSIGN_OR_RETURN(const int user_namespace,
                       namespaces.For(mount.id_map.empty() ? prepared->spec.id_map : mount.id_map));
      ASSIGN_OR_RETURN(UniqueFd volume, MakeVolume(mount, user_namespace, prepared->spec, context));
      prepared->bind_fds.push_back(std::move(volume));
      continue;
    }
    ASSIGN_OR_RETURN(const int user_namespace, namespaces.For(mount.id_map));
    ASSIGN_OR_RETURN(UniqueFd bind, MakeBind(mount, user_namespace));
    prepared->bind_fds.push_back(std::move(bind));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<PreparedContainer>> PrepareContainer(const ContainerSpec& spec,
                                                              const RuntimeContext& context,
                                                              bool reuse) {
  RETURN_IF_ERROR(CheckSpec(spec));
  auto prepared = std::make_unique<PreparedContainer>();
  prepared->spec = spec;

  // Taken over things are not ours to undo: with `reuse` the container exists whatever happens
  // here. Cgroups and mounts have different locks in the kernel and take about as long: side by
  // side.
  Pending directories, group;
  if (!reuse) {
    directories = Pending([&] { RemoveDirectories(spec.id, context.containers_dir); });
    group = Pending([&] {
      if (prepared->cgroup != nullptr) (void)prepared->cgroup->Remove();
    });
  }
  const Status made = MakeDirectories(spec, context, reuse);
  if (absl::IsAlreadyExists(made)) directories.Commit();  // another container's
  RETURN_IF_ERROR(made);
  // Not before its folder is there, by which a start of the daemon knows an unrecorded one as ours.
  SideStep cgroup(context.side, [&] { return MakeLimitedCgroup(prepared.get(), context, reuse); });
  RETURN_IF_ERROR(MakeRoot(prepared.get(), context));
  RETURN_IF_ERROR(MakeDevices(prepared.get()));
  RETURN_IF_ERROR(MakeBinds(prepared.get(), context));
  RETURN_IF_ERROR(cgroup.Join());
  group.Commit();
  directories.Commit();
  return prepared;
}

}  // namespace crisp::runtime
