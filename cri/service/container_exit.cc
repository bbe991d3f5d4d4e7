// The end of a container: its exit code and reason become state, before anybody can remove the
// cgroup that tells why.
#include "cri/service/runtime_service.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "runtime/sys/clone.h"

namespace crisp::cri {
namespace {

constexpr int kUnknownExitCode = 255;
constexpr int kFlushMs = 500;
constexpr int kStragglersMs = 1000;  // one that hangs in the kernel is killed again by a removal

std::string ReasonOf(const keeper::ExitEvent& event, bool oom_killed) {
  if (event.wait_status == keeper::kUnknownStatus) return "Unknown";
  if (oom_killed) return "OOMKilled";
  return event.wait_status == 0 ? "Completed" : "Error";
}

// StartContainer posts the event again once it has recorded the start.
bool IsStarting(Container& container, const keeper::ExitEvent& event) {
  std::lock_guard<std::mutex> lock(container.mu);
  if (container.state != ContainerState::kStarting) return false;
  container.early_exit = event;
  return true;
}

// In a pid namespace of its own a container's processes end with its first one. In a shared one
// they would go on, and hold its log and its volumes.
void EndStragglers(Container& container) {
  if (container.spec->pid == runtime::NamespaceMode::kContainer) return;
  std::shared_ptr<runtime::Cgroup> cgroup;
  {
    std::lock_guard<std::mutex> lock(container.mu);
    cgroup = container.cgroup;
  }
  if (cgroup) (void)cgroup->Kill(kStragglersMs);
}

// From the counters of the cgroup and, where systemd has removed it already, of those around it. A
// parent whose child was killed tends to end with an error, or by the same SIGKILL.
bool OomKilled(const Container& container, const keeper::ExitEvent& event) {
  if (!container.cgroup) return false;
  const bool likely = event.wait_status != 0 && !container.stop_sent;
  return container.cgroup->OomKillsAtEnd(likely).value_or(0) > 0;
}

}  // namespace

bool RuntimeService::OnExit(const keeper::ExitEvent& event) {
  const auto found = parts_.pods->FindContainer(event.id);
  if (!found.ok()) {
    if (OnPauseExit(event)) return true;
    // An exec, or a container that was removed meanwhile: either way nobody else records it.
    parts_.runtime.keeper->AckExit(event.id);
    return parts_.runtime.wait_exit == nullptr;  // else the exec's call waits for it at the board
  }
  Container& container = **found;
  if (IsStarting(container, event)) return true;
  EndStragglers(container);
  // The end of the output is in the log before anybody sees the container as exited.
  (void)parts_.runtime.keeper->FlushLog(event.id, kFlushMs);
  CountDroppedLog(container);
  std::unique_lock<std::mutex> lock(container.mu);
  if (container.state != ContainerState::kRunning) {
    parts_.runtime.keeper->AckExit(event.id);
    return true;
  }
  const bool oom_killed = OomKilled(container, event);
  container.finished_at = event.time_nanos;
  container.exit_code = event.wait_status == keeper::kUnknownStatus
                            ? kUnknownExitCode
                            : sys::ExitCodeOf(event.wait_status);
  container.reason = ReasonOf(event, oom_killed);
  container.pidfd = nullptr;
  container.stdin_write.Reset();
  container.stats = nullptr;
  container.early_exit.reset();
  container.state = ContainerState::kExited;
  const Status recorded = parts_.journal->Append(RecordOf(container));
  container.changed.notify_all();
  NoteEvent(v1::CONTAINER_STOPPED_EVENT, container);
  lock.unlock();
  CountMetric("crisp_container_exits_total", absl::StrCat("reason=\"", container.reason, "\""));
  // Unrecorded exits stay with the keeper, which repeats them to the next daemon.
  if (recorded.ok()) {
    parts_.runtime.keeper->AckExit(event.id);
  } else {
    LogError("recording an exit", {{"container", event.id}, {"error", recorded.ToString()}});
  }
  return true;
}

}  // namespace crisp::cri
