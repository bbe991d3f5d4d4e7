#include "runtime/cgroup/group.h"

#include <fcntl.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/cgroup/apply_limits.h"
#include "runtime/cgroup/devices.h"
#include "runtime/cgroup/kill.h"
#include "runtime/cgroup/parents.h"
#include "runtime/cgroup/path.h"
#include "runtime/cgroup/subtree.h"

namespace crisp::runtime {
namespace {

// "name 12\n" lines, as in memory.events and memory.oom_control.
StatusOr<uint64_t> Counter(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t value = 0;
    if (absl::ConsumePrefix(&line, name) && absl::ConsumePrefix(&line, " ") &&
        absl::SimpleAtoi(line, &value)) {
      return value;
    }
  }
  return absl::NotFoundError(absl::StrCat("no counter ", name));
}

StatusOr<std::shared_ptr<const TaskFiles>> OpenTaskFiles(const HostState& state,
                                                         const std::string& path) {
  auto tasks = std::make_shared<TaskFiles>();
  for (const Hierarchy& h : state.hierarchies) {
    if (h.v2) continue;
    tasks->files.emplace_back(
        openat(h.root.get(), Below(path, "tasks").c_str(), O_WRONLY | O_CLOEXEC));
    if (!tasks->files.back().valid()) {
      return ErrnoStatus(errno, "open cgroup ", h.mount_point, path);
    }
  }
  return tasks;
}

}  // namespace

Group::Group(std::shared_ptr<HostState> state, std::string path)
    : state_(std::move(state)), path_(std::move(path)) {}

Status Group::Attach() {
  if (!state_->v2) return absl::OkStatus();
  v2_dir_.Reset(
      openat(state_->v2->root.get(), Below(path_, "").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  // Absent for one that was made before the v2 tree was mounted: then it is a v1 cgroup only.
  if (v2_dir_.valid() || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, "open cgroup ", state_->v2->mount_point, path_);
}

StatusOr<std::shared_ptr<const TaskFiles>> Group::OpenTasks() const {
  std::shared_ptr<const TaskFiles> tasks = state_->recent_tasks.Find(path_);
  if (tasks) return tasks;
  ASSIGN_OR_RETURN(tasks, OpenTaskFiles(*state_, path_));
  state_->recent_tasks.Add(path_, tasks);
  return tasks;
}

Status Group::SetLimits(const CgroupLimits& limits) {
  ASSIGN_OR_RETURN(Pending undo, ChangeLimits(limits));
  undo.Commit();
  return absl::OkStatus();
}

StatusOr<Pending> Group::ChangeLimits(const CgroupLimits& limits) {
  ASSIGN_OR_RETURN(const std::vector<LimitWrite> writes,
                   PlanLimits(limits, [&](const std::string& c) { return state_->KindOf(c); }));
  std::vector<std::string> v2_controllers;
  for (const LimitWrite& write : writes) {
    if (state_->KindOf(write.controller) == ControllerKind::kV2 &&
        (v2_controllers.empty() || v2_controllers.back() != write.controller)) {
      v2_controllers.push_back(write.controller);
    }
  }
  if (!v2_controllers.empty()) {  // beside v1 they are enabled only where a limit asks for them
    RETURN_IF_ERROR(EnableControllers(*state_->v2, ParentOf(path_), v2_controllers));
  }
  StatusOr<Pending> undo = ApplyLimits(state_, path_, writes);
  if (undo.ok()) return undo;
  return Annotate(undo.status(), "set limits of cgroup ", path_);
}

Status Group::MakeRoom(int64_t bytes) {
  const Hierarchy* h = state_->ForController("memory");
  if (!h || !h->v2 || bytes < 0) return absl::OkStatus();
  const std::string file = Below(path_, "memory.current");
  const auto use = [&]() -> StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const std::string text, ReadFileAt(h->root.get(), file));
    int64_t value = 0;
    if (absl::SimpleAtoi(text, &value)) return value;
    return absl::InternalError(absl::StrCat("read ", file, ": not a number"));
  };
  ASSIGN_OR_RETURN(int64_t now, use());
  if (now <= bytes) return absl::OkStatus();
  // EAGAIN: it got less than asked for, ENOENT before 5.19; what counts is the use afterwards.
  (void)WriteControlFile(h->root.get(), Below(path_, "memory.reclaim"), absl::StrCat(now - bytes));
  ASSIGN_OR_RETURN(now, use());
  if (now <= bytes) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("limit memory of cgroup ", path_, " to ", bytes,
                                                    " bytes: it uses ", now, " bytes"));
}

Status Group::SetDevices(const std::vector<DeviceRule>& allow) {
  return ApplyDevices(*state_, path_, allow);
}

Status Group::Kill(int timeout_ms) { return KillCgroup(*state_, path_, timeout_ms); }

StatusOr<bool> Group::Populated() const {
  if (state_->v2) {
    const StatusOr<std::string> events =
        ReadFileAt(state_->v2->root.get(), Below(path_, "cgroup.events"));
    if (events.ok()) return absl::StrContains(*events, "populated 1");
    if (ErrnoOf(events.status()) != ENOENT || !state_->tracking) return events.status();
  }
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, PidsOf(*state_->tracking, path_));
  return !pids.empty();
}

StatusOr<uint64_t> Group::OomKills() const {
  const Hierarchy* h = state_->ForController("memory");
  if (!h) return absl::FailedPreconditionError("count OOM kills: no memory controller");
  const char* file = h->v2 ? "memory.events" : "memory.oom_control";
  // v2 counts what happened below too, v1 only in the group itself, and a container may have made
  // children of its own.
  std::vector<std::string> directories = {path_};
  if (!h->v2) {
    ASSIGN_OR_RETURN(directories, Subtree(*h, path_));
  }
  uint64_t kills = 0;
  for (const std::string& directory : directories) {
    const StatusOr<std::string> text = ReadFileAt(h->root.get(), Below(directory, file));
    if (!text.ok() && directory != path_) continue;  // the container's own, gone meanwhile
    RETURN_IF_ERROR(text.status());
    ASSIGN_OR_RETURN(const uint64_t here, Counter(*text, "oom_kill"));
    kills += here;
  }
  return kills;
}

StatusOr<std::vector<pid_t>> Group::Pids() const {
  const bool v2 = v2_dir_.valid() || !state_->tracking;
  return PidsOf(v2 ? *state_->v2 : *state_->tracking, path_);
}

StatusOr<UniqueFd> Group::OpenFile(const std::string& controller, const std::string& v1_file,
                                   const std::string& v2_file, bool parent) const {
  const bool v1 = IsV1(controller);
  const Hierarchy* h = v1 ? state_->ForController(controller) : state_->v2;
  const std::string& file = v1 ? v1_file : v2_file;
  if (!h || file.empty()) return absl::NotFoundError(absl::StrCat("no file for ", controller));
  const std::string path = Below(parent ? ParentOf(path_) : path_, file);
  UniqueFd fd(openat(h->root.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.valid()) return fd;
  return ErrnoStatus(errno, "open ", h->mount_point, "/", path);
}

Status Group::Remove() {
  state_->recent_tasks.Forget(path_);
  v2_dir_.Reset();
  Status first;
  for (const Hierarchy& h : state_->hierarchies) first.Update(RemoveSubtree(h, path_));
  if (first.ok()) RemoveEmptyParents(*state_, path_);
  return first;
}

}  // namespace crisp::runtime
