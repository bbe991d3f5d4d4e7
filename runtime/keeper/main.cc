// crisp-keeper: see keeper_main.h.
#include "runtime/init/launcher.h"
#include "runtime/keeper/keeper_main.h"

int main(int argc, char** argv) {
  using namespace crisp;  // NOLINT
  static constexpr keeper::LaunchFunctions kLaunch = {
      init::EnterMinimalMountNamespace, init::LaunchContainer, init::LaunchExec, init::StepName};
  return keeper::KeeperMain(argc, argv, kLaunch);
}
