#include "tests/kernel/cgroup/members.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/sys/clone.h"

namespace crisp::runtime {

pid_t StartMember(const Cgroup& group, const std::function<int()>& body) {
  const auto files = group.OpenTasks();
  if (!files.ok()) return -1;
  const std::vector<int> tasks = (*files)->fds();
  int joined[2];
  if (pipe2(joined, O_CLOEXEC) != 0) return -1;
  sys::CloneArgs args{};
  args.exit_signal = SIGCHLD;
  if (group.v2_fd() >= 0) {
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(group.v2_fd());
  }
  const pid_t pid = sys::Clone3(args);
  close(joined[pid == 0 ? 0 : 1]);
  if (pid != 0) {  // returns when it is inside, or has failed
    char byte;
    sys::Retry([&] { return read(joined[0], &byte, 1); });
    close(joined[0]);
    return pid;
  }
  for (const int fd : tasks) {
    if (write(fd, "0", 1) != 1) _exit(250);
  }
  close(joined[1]);
  _exit(body());
}

int ExitStatusOf(pid_t pid) {
  int status = 0;
  if (sys::Retry([&] { return waitpid(pid, &status, 0); }) != pid) return -1;
  return sys::ExitCodeOf(status);
}

int RunMember(const Cgroup& group, const std::function<int()>& body) {
  return ExitStatusOf(StartMember(group, body));
}

void ReapAll() {
  while (sys::Retry([] { return waitpid(-1, nullptr, 0); }) > 0) {
  }
}

}  // namespace crisp::runtime
