// CgroupHost: finding the hierarchies once, making and opening cgroups in all of them.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"
#include "runtime/cgroup/group.h"
#include "runtime/cgroup/parents.h"
#include "runtime/cgroup/path.h"
#include "runtime/cgroup/slice.h"
#include "runtime/cgroup/subtree.h"

namespace crisp::runtime {
namespace {

// What a container's limits may need on a pure v2 host.
const std::vector<std::string>& WantedV2() {
  static const auto* wanted =
      new std::vector<std::string>{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"};
  return *wanted;
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

class Host : public CgroupHost {
 public:
  explicit Host(std::shared_ptr<HostState> state) : state_(std::move(state)) {}

  CgroupMode mode() const override { return state_->mode; }
  bool HasController(const std::string& name) const override {
    return state_->ForController(name) != nullptr;
  }
  StatusOr<std::unique_ptr<Cgroup>> Create(const std::string& parent, const std::string& name,
                                           const CgroupLimits& at_start) override;
  Status MakeParent(const std::string& parent) override;
  void LeaveParent(const std::string& parent) override;
  StatusOr<std::string> MissingParent(const std::string& parent) const override;
  void AdoptParent(const std::string& top, const std::string& parent) override;
  StatusOr<std::unique_ptr<Cgroup>> Open(const std::string& parent,
                                         const std::string& name) override;
  StatusOr<std::vector<std::string>> ListIds(const std::string& parent) const override;
  StatusOr<std::string> NormalizeParent(const std::string& parent) const override {
    return NormalizeCgroupParent(parent);
  }

 private:
  StatusOr<std::string> PathOf(const std::string& parent, const std::string& name) const;
  Status MakeDirectories(const std::string& path);
  Status PrepareDirectory(const Hierarchy& h, const std::string& path);

  const std::shared_ptr<HostState> state_;
};

StatusOr<std::string> Host::PathOf(const std::string& parent, const std::string& name) const {
  RETURN_IF_ERROR(CheckCgroupName("cgroup name", name));
  ASSIGN_OR_RETURN(const std::string above, NormalizeCgroupParent(parent));
  return absl::StrCat(above == "/" ? "" : above, "/", name);
}

// What a new directory needs before a task can join and limits can be set.
Status Host::PrepareDirectory(const Hierarchy& h, const std::string& path) {
  if (!h.v2) return h.Has("cpuset") ? FillCpuset(h, path) : absl::OkStatus();
  if (state_->mode != CgroupMode::kV2) return absl::OkStatus();
  return EnableControllers(h, ParentOf(path), WantedV2());
}

// One directory in each hierarchy, or none.
Status Host::MakeDirectories(const std::string& path) {
  const std::string name = Below(path, "");
  std::vector<Pending> made;
  for (const Hierarchy& h : state_->hierarchies) {
    if (mkdirat(h.root.get(), name.c_str(), 0755) != 0) {
      return ErrnoStatus(errno, "make cgroup ", h.mount_point, path);
    }
    made.emplace_back([&h, name] { unlinkat(h.root.get(), name.c_str(), AT_REMOVEDIR); });
    RETURN_IF_ERROR(PrepareDirectory(h, path));
  }
  for (Pending& undo : made) undo.Commit();
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<Cgroup>> Host::Create(const std::string& parent, const std::string& name,
                                               const CgroupLimits&) {
  // An empty parent may be removed by another crisp between our two steps: then again.
  constexpr int kAttempts = 8;
  ASSIGN_OR_RETURN(const std::string path, PathOf(parent, name));
  Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::shared_lock<std::shared_mutex> lock(state_->parents_mutex);
    status = MakeDirectories(path);
    if (ErrnoOf(status) != ENOENT) break;
    status = MakeParents(*state_, path);
    if (!status.ok()) break;
    status = absl::UnavailableError(absl::StrCat("make cgroup ", path, ": its parents vanish"));
  }
  if (!status.ok()) {
    RemoveEmptyParents(*state_, path);
    return status;
  }
  auto group = std::make_unique<Group>(state_, path);
  const Status attached = group->Attach();
  if (!attached.ok()) {
    (void)group->Remove();
    return attached;
  }
  return group;
}

Status Host::MakeParent(const std::string& parent) {
  ASSIGN_OR_RETURN(const std::string below, PathOf(parent, "x"));
  const std::shared_lock<std::shared_mutex> lock(state_->parents_mutex);
  return MakeParents(*state_, below);
}

void Host::LeaveParent(const std::string& parent) {
  const auto below = PathOf(parent, "x");
  if (below.ok()) RemoveEmptyParents(*state_, *below);
}

StatusOr<std::string> Host::MissingParent(const std::string& parent) const {
  ASSIGN_OR_RETURN(const std::string below, PathOf(parent, "x"));
  return TopMissingParent(*state_, below);
}

void Host::AdoptParent(const std::string& top, const std::string& parent) {
  const auto below = PathOf(parent, "x");
  if (below.ok()) RememberParents(*state_, top, *below);
}

StatusOr<std::unique_ptr<Cgroup>> Host::Open(const std::string& parent, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string path, PathOf(parent, name));
  const bool exists =
      std::any_of(state_->hierarchies.begin(), state_->hierarchies.end(), [&](const Hierarchy& h) {
        return faccessat(h.root.get(), Below(path, "").c_str(), F_OK, 0) == 0;
      });
  if (!exists) return absl::NotFoundError(absl::StrCat("open cgroup ", path, ": does not exist"));
  auto group = std::make_unique<Group>(state_, path);
  RETURN_IF_ERROR(group->Attach());
  return group;
}

StatusOr<std::vector<std::string>> Host::ListIds(const std::string& parent) const {
  ASSIGN_OR_RETURN(const std::string above, NormalizeCgroupParent(parent));
  std::vector<std::string> ids;
  for (const Hierarchy& h : state_->hierarchies) {  // a half-made one is only in some of them
    ASSIGN_OR_RETURN(const std::vector<std::string> paths, Subtree(h, above));
    for (const std::string& path : paths) {
      if (IsId(NameOf(path)) && !IsId(NameOf(ParentOf(path)))) ids.push_back(path);
      const std::string of_scope = IdOfScope(NameOf(path));
      if (!of_scope.empty()) ids.push_back(absl::StrCat(ParentOf(path), "/", of_scope));
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

StatusOr<std::unique_ptr<CgroupHost>> CgroupHost::Probe(const KernelFeatures& features) {
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  auto state = std::make_shared<HostState>();
  ASSIGN_OR_RETURN(state->hierarchies, OpenHierarchies(mountinfo));
  bool v1 = false;
  for (const Hierarchy& h : state->hierarchies) {
    if (h.v2) {
      state->v2 = &h;
      continue;
    }
    v1 = true;
    if (!state->tracking || h.Has("freezer")) state->tracking = &h;
  }
  state->mode = !v1 ? CgroupMode::kV2 : state->v2 ? CgroupMode::kHybrid : CgroupMode::kV1;
  state->kill_file = features.cgroup_kill && state->v2 != nullptr;
  return std::make_unique<Host>(std::move(state));
}

}  // namespace crisp::runtime
