#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/keeper/client_connection.h"
#include "runtime/sys/retry.h"

namespace crisp::keeper {
namespace {

constexpr int kReadyFd = 3;
constexpr int kProgramFd = 4;

struct Launch {
  int null, ready, program;
  char* const* argv;
};

// In a forked child of a process with many threads: nothing but system calls.
[[noreturn]] void Exec(const Launch& launch) {
  char* const no_environment[] = {nullptr};
  // First out of the way of the numbers they shall have.
  const int ready = fcntl(launch.ready, F_DUPFD, 10);
  const int program = fcntl(launch.program, F_DUPFD, 10);
  bool ok = ready >= 0 && program >= 0;
  for (int fd = 0; fd <= 2; ++fd) ok = ok && dup2(launch.null, fd) == fd;
  ok = ok && dup2(ready, kReadyFd) == kReadyFd && dup3(program, kProgramFd, O_CLOEXEC) >= 0;
  ok = ok && close_range(kProgramFd + 1, ~0u, 0) == 0 && chdir("/") == 0;
  if (ok) fexecve(kProgramFd, launch.argv, no_environment);
  _exit(127);
}

// Twice, so that the keeper is nobody's child here and its own session. _Fork: no handlers that
// others (gRPC) have registered run between.
Status ForkTwice(const Launch& launch) {
  const pid_t child = _Fork();
  if (child < 0) return ErrnoStatus(errno, "start keeper: fork");
  if (child == 0) {
    setsid();
    const pid_t grandchild = _Fork();
    if (grandchild == 0) Exec(launch);
    _exit(grandchild < 0 ? 1 : 0);
  }
  int status = 0;
  if (sys::Retry([&] { return waitpid(child, &status, 0); }) != child || status != 0)
    return absl::ResourceExhaustedError("start keeper: second fork failed");
  return absl::OkStatus();
}

Status WaitReady(int ready, const std::string& binary, Deadline deadline) {
  pollfd entry{ready, POLLIN, 0};
  if (sys::Retry([&] { return poll(&entry, 1, MillisUntil(deadline)); }) == 0)
    return absl::DeadlineExceededError(
        absl::StrCat("start keeper ", binary, ": not ready in time"));
  char byte = 0;
  if (sys::Retry([&] { return read(ready, &byte, 1); }) == 1) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("start keeper ", binary, ": it ended before it was ready"));
}

}  // namespace

Status SpawnKeeper(const KeeperOptions& options, Deadline deadline) {
  UniqueFd program(open(options.binary.c_str(), O_RDONLY | O_CLOEXEC));
  if (!program.valid()) return ErrnoStatus(errno, "start keeper: open ", options.binary);
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  int pipe_ends[2];
  if (!null.valid() || pipe2(pipe_ends, O_CLOEXEC) != 0)
    return ErrnoStatus(errno, "start keeper: pipe");
  UniqueFd ready(pipe_ends[0]), ready_write(pipe_ends[1]);
  std::string words[] = {"crisp-keeper",           "--dir",
                         options.socket_dir,       "--ready-fd",
                         std::to_string(kReadyFd), "--exit-when-idle"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  std::string no_exit_info = "--no-exit-info";
  if (!options.features.pidfd_exit_info) argv.push_back(no_exit_info.data());
  argv.push_back(nullptr);
  RETURN_IF_ERROR(ForkTwice({null.get(), ready_write.get(), program.get(), argv.data()}));
  ready_write.Reset();
  return WaitReady(ready.get(), options.binary, deadline);
}

}  // namespace crisp::keeper
