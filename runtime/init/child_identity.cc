// Who the workload is. Raw system calls: glibc's set*id would change every thread of the keeper.
//
// What a program holds after execve is decided by the bounding set (root) or the ambient set (other
// users), because inheritable is empty; permitted and effective before execve only bridge the gap.
// LoadSeccomp relies on that: without no_new_privs it needs CAP_SYS_ADMIN, which is then simply
// kept until execve takes it away, so that the filter need not allow capset(2).
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "runtime/init/child.h"

namespace crisp::init {
namespace {

constexpr uint64_t kAdmin = uint64_t{1} << CAP_SYS_ADMIN;

int Capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    data[half] = {static_cast<uint32_t>(effective >> (32 * half)),
                  static_cast<uint32_t>(permitted >> (32 * half)),
                  static_cast<uint32_t>(inheritable >> (32 * half))};
  }
  return ErrnoIf(syscall(SYS_capset, &header, data));
}

// Ambient needs permitted and inheritable; both are as small as the ambient set itself allows.
int ApplyCapabilities(const PlanCaps& caps, uint64_t extra) {
  const uint64_t permitted = caps.permitted | caps.ambient;
  const uint64_t effective = caps.effective | caps.ambient;
  const int err = Capset(effective | extra, permitted | extra, caps.inheritable | caps.ambient);
  if (err != 0) return err;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  for (int cap = 0; cap < 64; ++cap) {
    if ((caps.ambient >> cap & 1) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) return errno;
  }
  return 0;
}

}  // namespace

int SetGroups(Child& child) {
  const Span groups = child.head().groups;
  return ErrnoIf(syscall(SYS_setgroups, groups.count, child.plan.Items<uint32_t>(groups)));
}

int DropBoundingSet(Child& child) {
  const uint64_t keep = child.head().caps.bounding;
  for (int cap = 0; cap < 64; ++cap) {
    if ((keep >> cap & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
    return errno == EINVAL ? 0 : errno;  // beyond the last capability of this kernel
  }
  return 0;
}

int SetUser(Child& child) {
  const uint32_t uid = child.head().uid, gid = child.head().gid;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
  if (syscall(SYS_setresgid, gid, gid, gid) != 0) return errno;
  return ErrnoIf(syscall(SYS_setresuid, uid, uid, uid));
}

int SetCapabilities(Child& child) { return ApplyCapabilities(child.head().caps, 0); }

int SetCapabilitiesForFilter(Child& child) {
  const bool needed = child.head().seccomp.count > 0 && !child.plan.Has(kPlanNoNewPrivs);
  return ApplyCapabilities(child.head().caps, needed ? kAdmin : 0);
}

int SetNoNewPrivs(Child& child) {
  if (!child.plan.Has(kPlanNoNewPrivs)) return 0;
  return ErrnoIf(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int LoadSeccomp(Child& child) {
  const Span filter = child.head().seccomp;
  if (filter.count == 0) return 0;
  const sock_fprog program{static_cast<unsigned short>(filter.count),
                           const_cast<sock_filter*>(child.plan.Items<sock_filter>(filter))};
  return ErrnoIf(
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, child.head().seccomp_flags, &program));
}

int LoadFilterBeforeEntry(Child& child) {
  if (!child.plan.Has(kPlanFilterBeforeEntry)) return 0;
  const int err = LoadSeccomp(child);
  return err != 0 ? err : SetCapabilities(child);
}

int LoadFilterAfterEntry(Child& child) {
  return child.plan.Has(kPlanFilterBeforeEntry) ? 0 : LoadSeccomp(child);
}

}  // namespace crisp::init
