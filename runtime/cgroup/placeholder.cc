#include "runtime/cgroup/placeholder.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/sys/retry.h"

namespace crisp::runtime {

StatusOr<Placeholder> Placeholder::Start(const std::string& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "make a pipe");
  const UniqueFd read_end(ends[0]);
  Placeholder placeholder;
  placeholder.write_.Reset(ends[1]);
  // posix_spawn: a vfork, so that the daemon's memory is neither copied nor shared for long.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, read_end.get(), 0);
  char* const argv[] = {const_cast<char*>("crisp-keeper"), const_cast<char*>("--placeholder"),
                        nullptr};
  char* const envp[] = {nullptr};
  const int error = posix_spawn(&placeholder.pid_, program.c_str(), &actions, nullptr, argv, envp);
  posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return placeholder;
  placeholder.pid_ = -1;
  return ErrnoStatus(error, "start ", program, " --placeholder");
}

Placeholder::Placeholder(Placeholder&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), write_(std::move(other.write_)) {}

Placeholder& Placeholder::operator=(Placeholder&& other) noexcept {
  if (this == &other) return *this;
  End();
  pid_ = std::exchange(other.pid_, -1);
  write_ = std::move(other.write_);
  return *this;
}

void Placeholder::End() {
  write_.Reset();
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);  // our own child that nobody has reaped: the number is its
  sys::Retry([&] { return waitpid(pid_, nullptr, 0); });
  pid_ = -1;
}

}  // namespace crisp::runtime
