#include "runtime/cgroup/systemd_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/cgroup/path.h"
#include "runtime/cgroup/placeholder.h"
#include "runtime/cgroup/sd_bus_api.h"
#include "runtime/cgroup/slice.h"
#include "runtime/cgroup/slice_kills.h"
#include "runtime/cgroup/systemd_bus.h"

namespace crisp::runtime {
namespace {

constexpr int kTimeoutMs = 30000;

// Below the scope, whose own files systemd writes again at every daemon-reload: what stands there
// is ours (Delegate=).
constexpr char kGroup[] = "container";

// A plain group below a scope: limits, devices and members are its own.
class Scope : public Cgroup {
 public:
  struct Parts {
    std::unique_ptr<Cgroup> group, scope, slice;  // the slice: nullptr for the root
    std::string unit;
    Placeholder first;
    std::shared_ptr<SliceKills> kills;
  };
  explicit Scope(Parts parts)
      : group_(std::move(parts.group)),
        scope_(std::move(parts.scope)),
        slice_(std::move(parts.slice)),
        unit_(std::move(parts.unit)),
        kills_(std::move(parts.kills)),
        first_(std::move(parts.first)) {
    if (slice_)
      account_.emplace(
          kills_.get(), slice_->path(), unit_, [this] { return slice_->OomKills(); },
          [this] { return group_->OomKills(); });
  }

  const std::string& path() const override { return group_->path(); }
  int v2_fd() const override { return group_->v2_fd(); }
  StatusOr<std::shared_ptr<const TaskFiles>> OpenTasks() const override {
    return group_->OpenTasks();
  }
  void Joined() override { EndPlaceholder(); }
  Status SetLimits(const CgroupLimits& limits) override { return group_->SetLimits(limits); }
  StatusOr<Pending> ChangeLimits(const CgroupLimits& limits) override;
  Status MakeRoom(int64_t bytes) override { return group_->MakeRoom(bytes); }
  Status SetDevices(const std::vector<DeviceRule>& allow) override {
    return group_->SetDevices(allow);
  }
  Status Kill(int timeout_ms) override {
    const Status killed = scope_->Kill(timeout_ms);
    EndPlaceholder();
    return killed;
  }
  StatusOr<bool> Populated() const override { return scope_->Populated(); }
  StatusOr<uint64_t> OomKills() const override { return group_->OomKills(); }
  StatusOr<uint64_t> OomKillsAtEnd(bool likely) const override {
    return account_ ? account_->Kills(likely) : OomKills();
  }
  StatusOr<std::vector<pid_t>> Pids() const override { return group_->Pids(); }
  bool IsV1(const std::string& controller) const override { return group_->IsV1(controller); }
  StatusOr<UniqueFd> OpenFile(const std::string& controller, const std::string& v1_file,
                              const std::string& v2_file, bool parent) const override {
    const Cgroup& from = parent ? *scope_ : *group_;  // the parent of the scope: the pod
    return from.OpenFile(controller, v1_file, v2_file, parent);
  }
  Status Remove() override;

 private:
  void EndPlaceholder() {
    const std::lock_guard<std::mutex> lock(mutex_);
    first_.End();
  }

  const std::unique_ptr<Cgroup> group_, scope_, slice_;
  const std::string unit_;
  const std::shared_ptr<SliceKills> kills_;
  std::optional<SliceKills::Entry> account_;
  std::mutex mutex_;
  Placeholder first_;
};

StatusOr<Pending> Scope::ChangeLimits(const CgroupLimits& limits) {
  const std::vector<UnitProperty> asked = ScopeProperties(limits);
  ASSIGN_OR_RETURN(Pending in_group, group_->ChangeLimits(limits));
  if (asked.empty()) return in_group;
  ASSIGN_OR_RETURN(std::vector<UnitProperty> before,
                   PropertiesInForce(asked, [&](const std::string& file) {
                     return ReadFileAt(scope_->v2_fd(), file);
                   }));
  RETURN_IF_ERROR(SetUnitProperties(unit_, asked, kTimeoutMs));
  // The group's undo is owned by ours: if this one is committed, so is that.
  const auto commit = [](Pending* undo) {
    undo->Commit();
    delete undo;
  };
  const std::shared_ptr<Pending> group(new Pending(std::move(in_group)), commit);
  return Pending([group, unit = unit_, before = std::move(before)] {
    *group = Pending();  // the old values are back
    (void)SetUnitProperties(unit, before, kTimeoutMs);
  });
}

// systemd removes the directories and forgets the unit when the last process is gone, and only
// then: a directory that went before its event was read would leave a unit that never ends.
Status Scope::Remove() {
  EndPlaceholder();
  const StatusOr<bool> populated = scope_->Populated();
  if (!populated.ok() || !*populated) return absl::OkStatus();  // an error: it is gone
  return ErrnoStatus(EBUSY, "remove ", unit_);
}

// The placeholder moves on to the group below: controllers cannot be handed down past processes.
Status MakeGroup(int scope, pid_t first) {
  if (mkdirat(scope, kGroup, 0755) != 0 || fchmodat(scope, kGroup, 0755, 0) != 0)
    return ErrnoStatus(errno, "make cgroup ", kGroup);
  const std::string members = absl::StrCat(kGroup, "/cgroup.procs");
  RETURN_IF_ERROR(WriteControlFile(scope, members, absl::StrCat(first)));
  ASSIGN_OR_RETURN(const std::string all, ReadFileAt(scope, "cgroup.controllers"));
  for (const absl::string_view one :
       absl::StrSplit(all, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    RETURN_IF_ERROR(WriteControlFile(scope, "cgroup.subtree_control", absl::StrCat("+", one)));
  }
  return absl::OkStatus();
}

class SystemdHost : public CgroupHost {
 public:
  SystemdHost(std::unique_ptr<CgroupHost> host, std::string placeholder)
      : host_(std::move(host)), placeholder_(std::move(placeholder)) {}

  CgroupMode mode() const override { return host_->mode(); }
  bool systemd() const override { return true; }
  bool HasController(const std::string& name) const override { return host_->HasController(name); }
  StatusOr<std::unique_ptr<Cgroup>> Create(const std::string& parent, const std::string& name,
                                           const CgroupLimits& at_start) override;
  // systemd makes slices with the first scope in them, and removes them after the last.
  Status MakeParent(const std::string&) override { return absl::OkStatus(); }
  void LeaveParent(const std::string&) override {}
  StatusOr<std::string> MissingParent(const std::string&) const override { return std::string(); }
  void AdoptParent(const std::string&, const std::string&) override {}
  StatusOr<std::unique_ptr<Cgroup>> Open(const std::string& parent,
                                         const std::string& name) override;
  StatusOr<std::vector<std::string>> ListIds(const std::string& parent) const override {
    const StatusOr<std::string> slice = SliceOfParent(parent);
    return host_->ListIds(slice.ok() ? SlicePath(*slice) : parent);
  }
  StatusOr<std::string> NormalizeParent(const std::string& parent) const override {
    RETURN_IF_ERROR(host_->NormalizeParent(parent).status());
    ASSIGN_OR_RETURN(const std::string slice, SliceOfParent(parent));
    return SlicePath(slice);
  }

 private:
  StatusOr<Scope::Parts> OpenScope(const std::string& slice, const std::string& name);
  StatusOr<std::unique_ptr<Cgroup>> OpenGroup(Scope::Parts parts);
  StatusOr<std::unique_ptr<Cgroup>> Inside(const std::string& slice, const std::string& name,
                                           Placeholder first);

  const std::unique_ptr<CgroupHost> host_;
  const std::string placeholder_;
  const std::shared_ptr<SliceKills> kills_ = std::make_shared<SliceKills>();
};

// One round trip, complete at the end of the job.
Status Start(const ScopeRequest& request) {
  const Status started = StartScope(request, kTimeoutMs);
  if (!absl::IsAlreadyExists(started)) return started;
  // An earlier start's, whose end systemd has not seen yet.
  RETURN_IF_ERROR(StopScope(request.name, kTimeoutMs));
  return StartScope(request, kTimeoutMs);
}

StatusOr<std::unique_ptr<Cgroup>> SystemdHost::Create(const std::string& parent,
                                                      const std::string& name,
                                                      const CgroupLimits& at_start) {
  ASSIGN_OR_RETURN(const std::string slice, SliceOfParent(parent));
  ASSIGN_OR_RETURN(Placeholder first, Placeholder::Start(placeholder_));
  const pid_t pid = first.pid();
  RETURN_IF_ERROR(
      Start({ScopeName(name), slice, "crisp container " + name, pid, ScopeProperties(at_start)}));
  StatusOr<std::unique_ptr<Cgroup>> group = Inside(slice, name, std::move(first));
  if (!absl::IsNotFound(group.status())) return group;
  return absl::UnavailableError(absl::StrCat(ScopeName(name), " ended too early"));
}

// On an error the placeholder ends, and with it the scope.
StatusOr<std::unique_ptr<Cgroup>> SystemdHost::Inside(const std::string& slice,
                                                      const std::string& name, Placeholder first) {
  ASSIGN_OR_RETURN(Scope::Parts parts, OpenScope(slice, name));
  RETURN_IF_ERROR(Annotate(MakeGroup(parts.scope->v2_fd(), first.pid()), "prepare ", parts.unit));
  parts.first = std::move(first);
  return OpenGroup(std::move(parts));
}

StatusOr<std::unique_ptr<Cgroup>> SystemdHost::Open(const std::string& parent,
                                                    const std::string& name) {
  const StatusOr<std::string> slice = SliceOfParent(parent);
  if (!slice.ok()) return host_->Open(parent, name);  // made before this driver was chosen
  StatusOr<Scope::Parts> parts = OpenScope(*slice, name);
  if (absl::IsNotFound(parts.status())) return host_->Open(parent, name);
  RETURN_IF_ERROR(parts.status());
  return OpenGroup(*std::move(parts));
}

StatusOr<Scope::Parts> SystemdHost::OpenScope(const std::string& slice, const std::string& name) {
  Scope::Parts parts;
  parts.kills = kills_;
  parts.unit = ScopeName(name);
  const std::string path = SlicePath(slice);
  ASSIGN_OR_RETURN(parts.scope, host_->Open(path, parts.unit));
  if (path != "/") parts.slice = host_->Open(ParentOf(path), slice).value_or(nullptr);
  return parts;
}

StatusOr<std::unique_ptr<Cgroup>> SystemdHost::OpenGroup(Scope::Parts parts) {
  ASSIGN_OR_RETURN(parts.group, host_->Open(parts.scope->path(), kGroup));
  return std::make_unique<Scope>(std::move(parts));
}

}  // namespace

bool SystemdIsPossible(CgroupMode mode) {
  // sd_booted(3): the directory that only a systemd as pid 1 makes. That it is pid 1 here too is
  // asked for because it is told a process by its number.
  return mode == CgroupMode::kV2 && access("/run/systemd/system", F_OK) == 0 && ManagerIsPid1();
}

StatusOr<std::unique_ptr<CgroupHost>> MakeSystemdHost(std::unique_ptr<CgroupHost> cgroupfs,
                                                      const std::string& placeholder) {
  if (!SystemdIsPossible(cgroupfs->mode())) {
    return absl::FailedPreconditionError(
        "use the cgroup driver systemd: needs systemd as pid 1 and cgroup v2 alone");
  }
  RETURN_IF_ERROR(LoadSdBus().status());
  return std::make_unique<SystemdHost>(std::move(cgroupfs), placeholder);
}

}  // namespace crisp::runtime
