// /sys/fs/cgroup as the container sees it: with the cgroup namespace its own cgroup is the root.
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/init/child.h"
#include "runtime/init/child_target.h"
#include "runtime/sys/mount.h"

namespace crisp::init {
namespace {

constexpr unsigned kInert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

unsigned Attributes(const Child& child) {
  return child.plan.Has(kPlanSysWritable) ? kInert : kInert | MOUNT_ATTR_RDONLY;
}

int Configure(int context, const char* option) {
  const char* equals = strchr(option, '=');
  if (equals == nullptr) return sys::FsconfigFlag(context, option);
  char key[32];
  const size_t length = static_cast<size_t>(equals - option);
  if (length >= sizeof(key)) {
    errno = EINVAL;
    return -1;
  }
  memcpy(key, option, length);
  key[length] = '\0';
  return sys::FsconfigString(context, key, equals + 1);
}

int MakeHierarchy(const Child& child, const PlanCgroupMount& mount) {
  const int context = sys::Fsopen(mount.v2 != 0 ? "cgroup2" : "cgroup");
  if (context < 0) return -1;
  for (uint32_t i = 0; i < mount.options.count; ++i) {
    const Str option = child.plan.Items<Str>(mount.options)[i];
    if (Configure(context, child.plan.Text(option)) != 0) return -1;
  }
  if (sys::FsconfigCreate(context) != 0) return -1;
  return sys::Fsmount(context, Attributes(child));
}

// v1 and hybrid: a tmpfs with a directory for each hierarchy and the links for its other names. It
// is complete before it is attached.
int MakeFrame(const Child& child) {
  const int context = sys::Fsopen("tmpfs");
  if (context < 0 || sys::FsconfigString(context, "mode", "0755") != 0 ||
      sys::FsconfigString(context, "size", "65536") != 0 || sys::FsconfigCreate(context) != 0) {
    return -1;
  }
  const int frame = sys::Fsmount(context, kInert);
  if (frame < 0) return -1;
  const Span mounts = child.head().cgroup_mounts, links = child.head().cgroup_links;
  for (uint32_t i = 0; i < mounts.count; ++i) {
    const Str name = child.plan.Items<PlanCgroupMount>(mounts)[i].name;
    if (mkdirat(frame, child.plan.Text(name), 0755) != 0) return -1;
  }
  for (uint32_t i = 0; i < links.count; ++i) {
    const PlanLink& link = child.plan.Items<PlanLink>(links)[i];
    if (symlinkat(child.plan.Text(link.target), frame, child.plan.Text(link.name)) != 0) return -1;
  }
  const sys::MountAttr attributes{Attributes(child), 0, 0, 0};
  return sys::MountSetattr(frame, "", AT_EMPTY_PATH, attributes) == 0 ? frame : -1;
}

int AttachHierarchies(Child& child, int frame) {
  const Span mounts = child.head().cgroup_mounts;
  for (uint32_t i = 0; i < mounts.count; ++i) {
    const PlanCgroupMount& mount = child.plan.Items<PlanCgroupMount>(mounts)[i];
    const char* name = child.plan.Text(mount.name);
    child.Note(name);
    const int hierarchy = MakeHierarchy(child, mount);
    if (hierarchy < 0) return errno;
    if (sys::MoveMount(hierarchy, "", frame, name, MOVE_MOUNT_F_EMPTY_PATH) != 0) return errno;
  }
  return 0;
}

}  // namespace

int MountCgroupFs(Child& child) {
  const Span mounts = child.head().cgroup_mounts;
  if (mounts.count == 0 || !child.plan.Has(kPlanSys)) return 0;
  const int target = openat(child.root, "sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target < 0) return errno;
  const PlanCgroupMount& first = child.plan.Items<PlanCgroupMount>(mounts)[0];
  const bool unified = mounts.count == 1 && *child.plan.Text(first.name) == '\0';
  const int top = unified ? MakeHierarchy(child, first) : MakeFrame(child);
  if (top < 0) return errno;
  if (sys::AttachMount(top, target) != 0) return errno;
  return unified ? 0 : AttachHierarchies(child, top);
}

}  // namespace crisp::init
