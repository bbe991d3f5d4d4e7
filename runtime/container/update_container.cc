#include "runtime/container/update_container.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/sys/fd.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

struct OldScore {
  UniqueFd file;
  std::string text;
};

StatusOr<OldScore> OpenScore(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/oom_score_adj");
  OldScore old{UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC)), ""};
  if (!old.file.valid()) return ErrnoStatus(errno, "open ", path);
  char text[32];
  const ssize_t n = sys::Retry([&] { return pread(old.file.get(), text, sizeof(text), 0); });
  if (n < 0) return ErrnoStatus(errno, "read ", path);
  old.text.assign(text, static_cast<size_t>(n));
  return old;
}

bool IsGone(int error) { return error == ENOENT || error == ESRCH; }

// Lowering needs CAP_SYS_RESOURCE: without it the old value stays, as at the start.
Status WriteScore(const OldScore& old, pid_t pid, const std::string& value) {
  const auto write = [&] { return pwrite(old.file.get(), value.data(), value.size(), 0); };
  if (sys::Retry(write) >= 0 || IsGone(errno) || errno == EACCES) return absl::OkStatus();
  return ErrnoStatus(errno, "set oom_score_adj of process ", pid, " to ", value);
}

StatusOr<Pending> ChangeOomScore(const Cgroup& cgroup, int score) {
  auto done = std::make_shared<std::vector<OldScore>>();
  Pending undo([done] {
    for (const OldScore& old : *done) {
      (void)sys::Retry([&] { return pwrite(old.file.get(), old.text.data(), old.text.size(), 0); });
    }
  });
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Pids());
  for (const pid_t pid : pids) {
    StatusOr<OldScore> old = OpenScore(pid);
    if (IsGone(ErrnoOf(old.status()))) continue;
    RETURN_IF_ERROR(old.status());
    // Listed again after the open: else the number may belong to a process outside by now.
    ASSIGN_OR_RETURN(const std::vector<pid_t> again, cgroup.Pids());
    if (!std::binary_search(again.begin(), again.end(), pid)) continue;
    RETURN_IF_ERROR(WriteScore(*old, pid, absl::StrCat(score)));
    done->push_back(*std::move(old));
  }
  return undo;
}

}  // namespace

StatusOr<ChangedContainer> ChangeContainer(Cgroup& cgroup, const ContainerChange& change) {
  ChangedContainer changed;
  if (change.limits.memory_bytes) RETURN_IF_ERROR(cgroup.MakeRoom(*change.limits.memory_bytes));
  ASSIGN_OR_RETURN(changed.limits, cgroup.ChangeLimits(change.limits));
  if (change.oom_score_adj) {
    ASSIGN_OR_RETURN(changed.score, ChangeOomScore(cgroup, *change.oom_score_adj));
  }
  return changed;
}

}  // namespace crisp::runtime
