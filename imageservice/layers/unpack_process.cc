#include "imageservice/layers/unpack_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/stages.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/retry.h"

namespace crisp::image {
namespace {

constexpr int64_t kNoProgressNanos = 60'000'000'000;
constexpr int kPollMillis = 50;
constexpr int kPipeSize = 1 << 20;
constexpr size_t kMaxResult = 4096;

// A write to a process that has given up must be EPIPE, not a signal to the daemon. Blocks SIGPIPE
// for this thread and swallows the one that may be pending at the end.
class SigpipeBlock {
 public:
  SigpipeBlock() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~SigpipeBlock() {
    const timespec now{};
    if (sigismember(&before_, SIGPIPE) == 0) {
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;

 private:
  sigset_t pipe_, before_;
};

struct Pipe {
  UniqueFd read, write;
};

StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Sets up fds 0, 1, 2 and 3 in the child; everything else is CLOEXEC.
StatusOr<pid_t> Spawn(int unpacker, int input, int result, int directory,
                      std::vector<std::string> arguments) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_adddup2(&actions, result, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, directory, 3);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  const std::string path = absl::StrCat("/proc/self/fd/", unpacker);
  const int err = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (err != 0) return ErrnoStatus(err, "start crisp-unpack");
  return pid;
}

// dup2 onto itself keeps CLOEXEC: the sources must lie above the targets.
StatusOr<UniqueFd> Above(int fd) {
  UniqueFd high(fcntl(fd, F_DUPFD_CLOEXEC, 10));
  if (!high.valid()) return ErrnoStatus(errno, "dup");
  return high;
}

}  // namespace

StatusOr<std::unique_ptr<UnpackProcess>> UnpackProcess::Start(int unpacker, int directory,
                                                              const UnpackRequest& request) {
  auto process = std::unique_ptr<UnpackProcess>(new UnpackProcess());
  ASSIGN_OR_RETURN(Pipe input, MakePipe());
  ASSIGN_OR_RETURN(Pipe result, MakePipe());
  fcntl(input.write.get(), F_SETPIPE_SZ, kPipeSize);  // best effort: fewer switches
  ASSIGN_OR_RETURN(const UniqueFd child_input, Above(input.read.get()));
  ASSIGN_OR_RETURN(const UniqueFd child_result, Above(result.write.get()));
  ASSIGN_OR_RETURN(const UniqueFd child_directory, Above(directory));
  ASSIGN_OR_RETURN(const UniqueFd program, Above(unpacker));
  ASSIGN_OR_RETURN(
      process->pid_,
      Spawn(program.get(), child_input.get(), child_result.get(), child_directory.get(),
            {"crisp-unpack", request.compression, request.digest, absl::StrCat(request.size),
             request.diff_id, absl::StrCat(request.reserve)}));
  process->pidfd_.Reset(sys::PidfdOpen(process->pid_));
  process->input_ = std::move(input.write);
  process->result_ = std::move(result.read);
  if (!process->pidfd_.valid()) return ErrnoStatus(errno, "pidfd_open");
  if (fcntl(process->input_.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl");
  return process;
}

UnpackProcess::~UnpackProcess() {
  if (pid_ <= 0) return;
  if (pidfd_.valid()) {
    sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  } else {
    kill(pid_, SIGKILL);  // our child and not reaped yet: the number is still its own
  }
  sys::Retry([&] { return waitpid(pid_, nullptr, 0); });
}

Status UnpackProcess::Feed(absl::string_view bytes, const std::function<bool()>& cancelled) {
  const SigpipeBlock block;
  while (!bytes.empty()) {
    const ssize_t n = sys::Retry([&] { return write(input_.get(), bytes.data(), bytes.size()); });
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      RETURN_IF_ERROR(WaitFor(input_.get(), cancelled));
    } else {
      return ErrnoStatus(errno, "write to crisp-unpack");
    }
  }
  return absl::OkStatus();
}

// Takes what it said without waiting.
Status UnpackProcess::Listen(bool* alive) {
  char buffer[kMaxResult];
  const ssize_t n = sys::Retry([&] { return read(result_.get(), buffer, sizeof(buffer)); });
  if (n < 0) return ErrnoStatus(errno, "read from crisp-unpack");
  *alive = n > 0;
  silent_ = n == 0;
  for (const char c : absl::string_view(buffer, static_cast<size_t>(n))) {
    if (c != kHeartbeat && verdict_.size() < kMaxResult) verdict_.push_back(c);
  }
  return absl::OkStatus();
}

// Until `fd` is writable, or with -1 until the process has said its last word. In short steps, so
// that a cancel is seen within 100 ms; a heartbeat restarts the no-progress clock.
Status UnpackProcess::WaitFor(int fd, const std::function<bool()>& cancelled) {
  int64_t start = MonotonicNanos();
  for (;;) {
    pollfd items[] = {{fd, POLLOUT, 0}, {silent_ ? -1 : result_.get(), POLLIN, 0}};
    if (sys::Retry([&] { return poll(items, 2, kPollMillis); }) < 0) {
      return ErrnoStatus(errno, "poll");
    }
    bool alive = false;
    if (items[1].revents != 0) RETURN_IF_ERROR(Listen(&alive));
    if (items[0].revents != 0 || (fd < 0 && silent_)) return absl::OkStatus();
    if (cancelled()) return absl::CancelledError("cancelled");
    if (alive) start = MonotonicNanos();
    if (MonotonicNanos() - start > kNoProgressNanos) {
      return absl::DeadlineExceededError("unpack layer: no progress for 60 s");
    }
  }
}

StatusOr<UnpackCounters> UnpackProcess::Finish(const std::function<bool()>& cancelled) {
  input_.Reset();
  RETURN_IF_ERROR(WaitFor(-1, cancelled));
  // It has said all it will say; one that closed its end and lives on must not hold us up.
  int status = 0;
  if (!verdict_.empty()) sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  const int64_t end = MonotonicNanos() + kNoProgressNanos;
  while (sys::Retry([&] { return waitpid(pid_, &status, WNOHANG); }) == 0) {
    if (cancelled()) return absl::CancelledError("cancelled");
    if (MonotonicNanos() > end) return absl::DeadlineExceededError("crisp-unpack does not end");
    pollfd item{pidfd_.get(), POLLIN, 0};
    poll(&item, 1, kPollMillis);
  }
  pid_ = -1;
  if (!verdict_.empty()) return Verdict(verdict_);
  return absl::InternalError(absl::StrCat("crisp-unpack died without a verdict: ",
                                          WIFSIGNALED(status)
                                              ? absl::StrCat("signal ", WTERMSIG(status))
                                              : absl::StrCat("exit code ", WEXITSTATUS(status))));
}

// The process handled hostile bytes: its words are bounded and taken as data.
StatusOr<UnpackCounters> UnpackProcess::Verdict(const std::string& line) {
  absl::string_view rest = absl::StripTrailingAsciiWhitespace(line);
  if (absl::ConsumePrefix(&rest, "bad ")) {
    return absl::InvalidArgumentError(absl::CHexEscape(rest));
  }
  if (absl::ConsumePrefix(&rest, "sys ")) {
    const std::vector<absl::string_view> parts = absl::StrSplit(rest, absl::MaxSplits(' ', 1));
    int err = EIO;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &err)) err = EIO;
    return ErrnoStatus(err, absl::CHexEscape(parts.back()));
  }
  UnpackCounters counters;
  int opaque = 0;
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, ' ');
  if (parts.size() != 5 || parts[0] != "ok" || !absl::SimpleAtoi(parts[1], &counters.entries) ||
      !absl::SimpleAtoi(parts[2], &counters.bytes) ||
      !absl::SimpleAtoi(parts[3], &counters.inodes) || !absl::SimpleAtoi(parts[4], &opaque)) {
    return absl::InternalError("crisp-unpack gave a malformed verdict");
  }
  counters.opaque_root = opaque != 0;
  return counters;
}

}  // namespace crisp::image
