// crisp-keeper: see keeper_main.h.
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "runtime/init/launcher.h"
#include "runtime/keeper/keeper_main.h"

namespace {

// First member of a systemd scope (runtime/cgroup/placeholder.h): until the pipe at 0 is closed.
int HoldPlace() {
  prctl(PR_SET_NAME, "crisp-holder");
  char byte;
  while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace crisp;  // NOLINT
  if (argc == 2 && strcmp(argv[1], "--placeholder") == 0) return HoldPlace();
  static constexpr keeper::LaunchFunctions kLaunch = {
      init::EnterMinimalMountNamespace, init::LaunchContainer, init::LaunchExec, init::StepName};
  return keeper::KeeperMain(argc, argv, kLaunch);
}
