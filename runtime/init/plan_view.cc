// The plan comes from the daemon, which is trusted with containers but not with the keeper's
// memory: a wrong offset must end as an error of one launch (S14: lengths that wrap).
#include "runtime/init/plan_view.h"

#include <string.h>

#include <initializer_list>

namespace crisp::init {
namespace {

struct Checker {
  const char* base;
  size_t size;
  size_t fd_count;
  const PlanHeader* head;

  bool Table(Span span, size_t element, uint32_t limit) const {
    if (span.count > limit || span.offset % 8 != 0 || span.offset > size) return false;
    return static_cast<uint64_t>(span.count) * element <= size - span.offset;
  }
  bool Text(Str offset) const { return offset < head->strings.count; }
  const char* TextAt(Str offset) const { return base + head->strings.offset + offset; }
  bool Absolute(Str offset) const { return Text(offset) && TextAt(offset)[0] == '/'; }
  bool Fd(FdIndex index) const { return index >= 0 && static_cast<size_t>(index) < fd_count; }
  bool OptionalFd(FdIndex index) const { return index == kNoFd || Fd(index); }
  template <typename T>
  const T* Items(Span span) const {
    return reinterpret_cast<const T*>(base + span.offset);
  }
  template <typename T, typename Check>
  bool Each(Span span, uint32_t limit, Check check) const {
    if (!Table(span, sizeof(T), limit)) return false;
    for (uint32_t i = 0; i < span.count; ++i) {
      if (!check(Items<T>(span)[i])) return false;
    }
    return true;
  }
  bool Texts(Span span, uint32_t limit) const {
    return Each<Str>(span, limit, [this](Str text) { return Text(text); });
  }
  bool Paths(Span span, uint32_t limit) const {
    return Each<Str>(span, limit, [this](Str text) { return Absolute(text); });
  }
  // One component of a path: the child makes a directory or a link of this name.
  bool Name(Str offset) const {
    if (!Text(offset)) return false;
    const char* text = TextAt(offset);
    return text[0] != '.' && strchr(text, '/') == nullptr && strlen(text) < 256;
  }
};

bool HeaderFits(const void* data, size_t size, PlanKind kind) {
  if (reinterpret_cast<uintptr_t>(data) % 8 != 0) return false;
  if (size < sizeof(PlanHeader) || size > kPlanMaxSize) return false;
  const auto* head = static_cast<const PlanHeader*>(data);
  return head->magic == kPlanMagic && head->version == kPlanVersion && head->size == size &&
         head->kind == kind;
}

bool StringsEnd(const Checker& check) {
  const Span strings = check.head->strings;
  return check.Table(strings, 1, kPlanMaxSize) && strings.count > 0 &&
         check.base[strings.offset + strings.count - 1] == '\0';
}

bool FdsFit(const Checker& check, PlanKind kind) {
  const PlanHeader& head = *check.head;
  for (FdIndex index : head.stdio) {
    if (!check.Fd(index)) return false;
  }
  if (kind == PlanKind::kStart && !check.Fd(head.root)) return false;
  if (kind == PlanKind::kExec && !check.Fd(head.container)) return false;
  for (FdIndex index :
       {head.cgroup_v2, head.container, head.net, head.ipc, head.uts, head.user, head.pid,
        head.root, head.dev, head.pts, head.shm, head.proc, head.sys, head.program}) {
    if (!check.OptionalFd(index)) return false;
  }
  return true;
}

bool MountsFit(const Checker& check) {
  return check.Each<PlanMount>(check.head->mounts, 256, [&](const PlanMount& mount) {
    return check.Fd(mount.mount) && check.Absolute(mount.target);
  });
}

bool CgroupMountsFit(const Checker& check) {
  return check.Each<PlanCgroupMount>(check.head->cgroup_mounts, 64,
                                     [&](const PlanCgroupMount& mount) {
                                       return check.Name(mount.name) &&
                                              check.Texts(mount.options, 16);
                                     }) &&
         check.Each<PlanLink>(check.head->cgroup_links, 64, [&](const PlanLink& link) {
           return check.Name(link.name) && check.Name(link.target);
         });
}

bool NumbersFit(const Checker& check) {
  const PlanHeader& head = *check.head;
  return check.Table(head.groups, sizeof(uint32_t), 65536) &&
         check.Each<PlanRlimit>(head.rlimits, 64,
                                [](const PlanRlimit& limit) { return limit.resource < 64; }) &&
         check.Each<FdIndex>(head.v1_tasks, 64, [&](FdIndex index) { return check.Fd(index); });
}

}  // namespace

const char* OpenPlan(const void* data, size_t size, size_t fd_count, PlanKind kind,
                     PlanView* view) {
  if (!HeaderFits(data, size, kind)) return "plan: header";
  const auto* head = static_cast<const PlanHeader*>(data);
  const Checker check{static_cast<const char*>(data), size, fd_count, head};
  if (!StringsEnd(check)) return "plan: strings";
  if (!FdsFit(check, kind)) return "plan: descriptors";
  if (!check.Absolute(head->cwd) || !check.Text(head->program_path)) return "plan: paths";
  if (!check.Text(head->apparmor)) return "plan: apparmor";
  if (!check.Text(head->process_label) || !check.Text(head->mount_label)) return "plan: labels";
  if (!check.Texts(head->args, 65536) || head->args.count == 0) return "plan: args";
  if (!check.Texts(head->env, 65536)) return "plan: env";
  if (!NumbersFit(check)) return "plan: numbers";
  if (!MountsFit(check)) return "plan: mounts";
  if (!CgroupMountsFit(check)) return "plan: cgroup mounts";
  if (!check.Paths(head->masked, 1024)) return "plan: masked paths";
  if (!check.Paths(head->readonly, 1024)) return "plan: read-only paths";
  if ((head->seccomp_flags & ~kPlanSeccompFlags) != 0) return "plan: seccomp flags";
  if (!check.Table(head->seccomp, 8, 4096)) return "plan: seccomp";  // BPF_MAXINSNS
  *view = {check.base, head};
  return nullptr;
}

}  // namespace crisp::init
