#include "cri/cli/log_follow.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>

#include "runtime/base/files.h"
#include "runtime/base/pending.h"

namespace crisp::cli {
namespace {

// The CRI's events are optional (UNIMPLEMENTED in many runtimes), so the end of a container is
// asked for while its log is silent: often at first, for short commands.
constexpr int kFirstPollMillis = 10;
constexpr int kMaxPollMillis = 200;
constexpr int64_t kStopSeconds = 10;

// A handler and no signalfd: gRPC has threads by now, in which the signals are not blocked.
std::atomic<int> g_signal_fd{-1};
void OnSignal(int) { eventfd_write(g_signal_fd, 1); }

StatusOr<UniqueFd> OpenSignals() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "make eventfd");
  g_signal_fd = fd.get();
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  for (int signal : {SIGINT, SIGTERM})
    if (sigaction(signal, &action, nullptr) != 0) return ErrnoStatus(errno, "handle signals");
  return fd;
}

Status StopContainer(CriClient& client, const std::string& id, int64_t seconds) {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(seconds);
  return client.StopContainer(request, kDefaultTimeout + absl::Seconds(seconds)).status();
}

// The exit code once it has ended.
StatusOr<std::optional<int>> ExitCode(CriClient& client, const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  ASSIGN_OR_RETURN(const auto response, client.ContainerStatus(request));
  if (response.status().state() != v1::CONTAINER_EXITED) return std::optional<int>();
  return std::optional<int>(response.status().exit_code());
}

void Drain(int fd) {
  char buffer[4096];
  while (read(fd, buffer, sizeof(buffer)) > 0) {
  }
}

}  // namespace

Status LogReader::Open(int64_t tail) {
  file_.Reset(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file_.valid()) return ErrnoStatus(errno, "open log ", path_);
  if (tail < 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t offset, TailOffset(file_.get(), tail));
  if (lseek(file_.get(), offset, SEEK_SET) < 0) return ErrnoStatus(errno, "seek log ", path_);
  return absl::OkStatus();
}

Status LogReader::PumpFile() {
  char buffer[65536];
  for (;;) {
    const ssize_t n = read(file_.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "read log ", path_);
    if (n == 0) return absl::OkStatus();
    std::string out, err;
    printer_.Feed(absl::string_view(buffer, static_cast<size_t>(n)), &out, &err);
    RETURN_IF_ERROR(WriteAll(1, out));
    RETURN_IF_ERROR(WriteAll(2, err));
  }
}

// The kubelet rotates by rename; the runtime then opens a new file under the old name.
StatusOr<bool> LogReader::Reopen() {
  struct stat ours, named;
  if (fstat(file_.get(), &ours) != 0) return ErrnoStatus(errno, "stat log ", path_);
  if (stat(path_.c_str(), &named) != 0) return false;  // between rename and reopen
  if (ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) return false;
  RETURN_IF_ERROR(PumpFile());  // what came between the last read and the rotation
  file_.Reset(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file_.valid()) return ErrnoStatus(errno, "open log ", path_);
  return true;
}

Status LogReader::Pump() {
  RETURN_IF_ERROR(PumpFile());
  ASSIGN_OR_RETURN(const bool reopened, Reopen());
  return reopened ? PumpFile() : absl::OkStatus();
}

// The directory is watched, not the file: its events cover every file of a rotation.
Status LogReader::Watch() {
  watch_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch_.valid()) return ErrnoStatus(errno, "make inotify");
  const std::string directory = path_.substr(0, path_.rfind('/') + 1);
  if (inotify_add_watch(watch_.get(), directory.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
    return ErrnoStatus(errno, "watch ", directory);
  return absl::OkStatus();
}

StatusOr<int> FollowLog(CriClient& client, const std::string& container_id, LogReader& log,
                        bool stop_on_signal) {
  RETURN_IF_ERROR(log.Watch());
  UniqueFd signals;
  if (stop_on_signal) {
    ASSIGN_OR_RETURN(signals, OpenSignals());
  }
  const Pending forget([] { g_signal_fd = -1; });  // before its eventfd closes
  for (int wait = kFirstPollMillis;; wait = std::min(2 * wait, kMaxPollMillis)) {
    // State first, then the log: what was written before the end is there by then.
    ASSIGN_OR_RETURN(const std::optional<int> code, ExitCode(client, container_id));
    RETURN_IF_ERROR(log.Pump());
    if (code) return *code;
    pollfd fds[] = {{log.watch_fd(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (poll(fds, 2, wait) < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (fds[0].revents != 0) Drain(log.watch_fd());
    if (fds[1].revents != 0) {
      Drain(signals.get());
      RETURN_IF_ERROR(StopContainer(client, container_id, kStopSeconds));
    }
  }
}

}  // namespace crisp::cli
