// R11: no descriptor of the keeper outlives the first step. It also keeps a child that hangs from
// holding other launches' pipes open.
#include <initializer_list>

#include "runtime/init/child.h"

namespace crisp::init {
namespace {

// The descriptors to keep, as a bit set: numbers are small, because the keeper's table is.
class FdSet {
 public:
  static constexpr unsigned kMax = 32768;  // bounds the stack; higher ones are refused

  bool Add(int fd) {
    if (fd < 0 || static_cast<unsigned>(fd) >= kMax) return fd < 0;
    bits_[fd / 64] |= uint64_t{1} << (fd % 64);
    if (static_cast<unsigned>(fd) >= end_) end_ = static_cast<unsigned>(fd) + 1;
    return true;
  }
  // Closes every range between kept descriptors.
  int CloseOthers() const {
    unsigned from = 0;
    for (unsigned fd = 0; fd < end_; ++fd) {
      if ((bits_[fd / 64] >> (fd % 64) & 1) == 0) continue;
      if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) != 0) return errno;
      from = fd + 1;
    }
    return ErrnoIf(syscall(SYS_close_range, from, ~0u, 0));
  }

 private:
  uint64_t bits_[kMax / 64] = {};
  unsigned end_ = 0;
};

bool AddPlan(const Child& child, FdSet* keep) {
  const PlanHeader& head = child.head();
  bool fits = keep->Add(child.pipe) && keep->Add(child.proc);
  // For SetOomScore, where the container has no procfs of its own to write it through. A stub is
  // done with it.
  if (head.kind == PlanKind::kStart && !child.plan.Has(kPlanProc)) {
    fits &= keep->Add(LauncherProc());
  }
  for (FdIndex index : head.stdio) fits &= keep->Add(child.Fd(index));
  for (FdIndex index :
       {head.container, head.net, head.ipc, head.uts, head.user, head.pid, head.root, head.dev,
        head.pts, head.shm, head.proc, head.sys, head.program}) {
    fits &= keep->Add(child.Fd(index));
  }
  for (uint32_t i = 0; i < head.v1_tasks.count; ++i) {
    fits &= keep->Add(child.Fd(child.plan.Items<FdIndex>(head.v1_tasks)[i]));
  }
  for (uint32_t i = 0; i < head.mounts.count; ++i) {
    fits &= keep->Add(child.Fd(child.plan.Items<PlanMount>(head.mounts)[i].mount));
  }
  return fits;
}

}  // namespace

int CloseForeignFds(Child& child) {
  FdSet keep;
  return AddPlan(child, &keep) ? keep.CloseOthers() : EMFILE;
}

// S11: who is in the pid namespace with CAP_SYS_PTRACE can take any descriptor of a process that
// enters (pidfd_getfd(2)), and a cgroup's or a procfs's would lead him to the node.
int CloseUsedFds(Child& child) {
  FdSet keep;
  for (const int fd : {0, 1, 2, child.pipe, child.Fd(child.head().program)}) {
    if (!keep.Add(fd)) return EMFILE;
  }
  return keep.CloseOthers();
}

}  // namespace crisp::init
