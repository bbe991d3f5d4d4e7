// StopContainer: the stop signal, a grace period, then SIGKILL to the whole cgroup. Returns when
// the container is dead.
#include <chrono>
#include <functional>

#include "absl/time/clock.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/log.h"
#include "runtime/container/signal_ready.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kKillLimit = absl::Seconds(20);

// Waits while the container is starting or running. False at the deadline.
bool WaitStopped(Container& container, std::unique_lock<std::mutex>& lock, absl::Time deadline) {
  const auto stopped = [&] {
    return container.state != ContainerState::kRunning &&
           container.state != ContainerState::kStarting;
  };
  while (!stopped()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    container.changed.wait_for(
        lock, absl::ToChronoMilliseconds(std::min(left, absl::Hours(1)) + absl::Milliseconds(1)));
  }
  return true;
}

// A start under way is over within the launch's own deadline.
void WaitStarted(Container& container, std::unique_lock<std::mutex>& lock, absl::Time deadline) {
  while (container.state == ContainerState::kStarting && absl::Now() < deadline) {
    container.changed.wait_for(lock, std::chrono::milliseconds(100));
  }
}

// Sends the stop signal once (a second call does not repeat it, but its own, shorter grace counts)
// and waits for the end. False at the deadline.
bool StopGracefully(Container& container, std::unique_lock<std::mutex>& lock,
                    const std::function<void(int signal)>& send, absl::Time deadline) {
  // Right after a start the program, as the first of its pid namespace, may not have its handler
  // yet, and the kernel would drop the signal: CRI-O waits its whole deadline then. Nothing tells
  // when a handler is installed, so look again, more and more seldom.
  absl::Duration pause = absl::Milliseconds(1);
  while (container.state == ContainerState::kRunning && !container.stop_sent &&
         absl::Now() < deadline) {
    const bool first = container.spec->pid == runtime::NamespaceMode::kContainer;
    if (!first || !runtime::SignalWouldBeDropped(container.pid, container.stop_signal)) {
      container.stop_sent = true;
      lock.unlock();  // an external runtime takes its time
      send(container.stop_signal);
      lock.lock();
      break;
    }
    WaitStopped(container, lock, std::min(deadline, absl::Now() + pause));
    pause = std::min(2 * pause, absl::Milliseconds(100));
  }
  return WaitStopped(container, lock, deadline);
}

}  // namespace

Status KillContainer(Container& container, absl::Time deadline) {
  std::unique_lock<std::mutex> lock(container.mu);
  WaitStarted(container, lock, deadline);
  if (container.state == ContainerState::kCreated) {
    // The kubelet unmounts the volumes of a stopped pod: let go of them.
    container.prepared = nullptr;
    return absl::OkStatus();
  }
  if (container.state == ContainerState::kRunning) {
    const std::shared_ptr<runtime::Cgroup> cgroup = container.cgroup;
    const int limit_ms = static_cast<int>(absl::ToInt64Milliseconds(
        std::clamp(deadline - absl::Now(), absl::Milliseconds(1), kKillLimit)));
    lock.unlock();
    const Status killed = cgroup ? cgroup->Kill(limit_ms) : absl::OkStatus();
    if (!killed.ok()) return Annotate(killed, "kill container ", container.id);
    lock.lock();
  }
  if (WaitStopped(container, lock, deadline)) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("container ", container.id, " (pid ", container.pid,
                   ") did not die of SIGKILL; a process may hang in the kernel"));
}

void RuntimeService::SendSignal(const Container& container, int signal) {
  if (const auto pod = parts_.pods->FindPod(container.pod_id); pod.ok()) {
    const auto handler = parts_.handlers->Find((*pod)->runtime_handler);
    if (handler.ok() && (*handler)->oci) {
      const Status sent = (*handler)->oci->Signal(container.id, signal, parts_.runtime);
      if (sent.ok()) return;
      LogWarning("stop signal by the external runtime, sent directly instead",
                 {{"container", container.id}, {"error", sent.ToString()}});
    }
  }
  (void)parts_.runtime.keeper->Signal(container.id, signal);
}

Status RuntimeService::StopContainer(const v1::StopContainerRequest& request,
                                     v1::StopContainerResponse*, CallContext& call) {
  const auto found = parts_.pods->FindContainer(request.container_id());
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  RETURN_IF_ERROR(found.status());
  Container& container = **found;
  call.set_object(container.id);
  const absl::Duration grace = absl::Seconds(std::clamp<int64_t>(request.timeout(), 0, 1 << 30));
  const absl::Time grace_end = absl::Now() + grace;
  {
    std::unique_lock<std::mutex> lock(container.mu);
    WaitStarted(container, lock, call.deadline());
    if (container.state == ContainerState::kExited ||
        container.state == ContainerState::kRemoving) {
      return absl::OkStatus();
    }
    if (container.state == ContainerState::kRunning && grace > absl::ZeroDuration() &&
        StopGracefully(
            container, lock, [&](int signal) { SendSignal(container, signal); },
            std::min(grace_end, call.deadline()))) {
      call.stages().Mark("graceful");
      return absl::OkStatus();
    }
  }
  call.stages().Mark("grace");
  const Status killed =
      KillContainer(container, std::min(call.deadline(), absl::Now() + kKillLimit));
  call.stages().Mark("kill");
  return killed;
}

}  // namespace crisp::cri
