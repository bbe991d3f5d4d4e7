#include "tests/kernel/init/launch_rig.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/container/dev_tree.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/mount.h"

namespace crisp::testing {
namespace {

uint64_t HostCaps() {
  uint64_t caps = 0;
  for (int cap = 0; cap < 64; ++cap) {
    if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) caps |= uint64_t{1} << cap;
  }
  return caps;
}

// Reads until the writers are gone; a hang is a failure of the test, not of the machine.
std::string ReadToEnd(int fd) {
  std::string text;
  char buffer[4096];
  pollfd poller{fd, POLLIN, 0};
  while (poll(&poller, 1, 20000) > 0) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
  ADD_FAILURE() << "no end of output: " << text;
  return text;
}

int Wait(int pidfd) {
  siginfo_t info{};
  waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED);
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

std::string RunResult::Error() const {
  if (outcome.err == 0) return "";
  return absl::StrCat(init::StepName(outcome.step), ": ", outcome.text, ": ",
                      ErrnoText(outcome.err));
}

LaunchRig::LaunchRig() : rootfs_("/tmp/crisp-launch-" + RandomHex(8)) {
  for (const char* dir : {"", "/bin", "/etc", "/tmp", "/proc", "/dev", "/sys"}) {
    mkdir((rootfs_ + dir).c_str(), 0755);
  }
  std::filesystem::copy_file("/bin/busybox", rootfs_ + "/bin/busybox");
  for (const char* name :
       {"sh",      "cat",    "ls",    "id",   "mount",    "hostname", "sleep", "echo", "grep",
        "touch",   "mkdir",  "pwd",   "stat", "readlink", "tty",      "env",   "true", "test",
        "unshare", "umount", "mknod", "ps",   "wc",       "sort",     "kill"}) {
    std::filesystem::create_symlink("busybox", rootfs_ + "/bin/" + name);
  }
}

LaunchRig::~LaunchRig() { std::filesystem::remove_all(rootfs_); }

int LaunchRig::Keep(UniqueFd fd) {
  kept_.push_back(std::move(fd));
  return kept_.back().get();
}

void LaunchRig::FillDefaults(runtime::PlanBuilder& plan, const std::vector<std::string>& args) {
  init::PlanHeader& head = plan.head();
  const uint64_t caps = HostCaps();
  head.caps = {caps, caps, caps, 0, 0};
  head.cwd = plan.Text("/");
  head.program_path = plan.Text("/bin");
  head.args = plan.Texts(args);
  head.env = plan.Texts({"PATH=/bin", "HOME=/"});
  head.groups = plan.Table(std::vector<uint32_t>{0});
  const int null = Keep(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
  head.stdio[0] = plan.Fd(null);
}

void LaunchRig::FillMounts(runtime::PlanBuilder& plan) {
  init::PlanHeader& head = plan.head();
  head.flags = init::kPlanProc | init::kPlanSys | init::kPlanMqueue | init::kPlanCgroupNamespace;
  const int root =
      Keep(UniqueFd(sys::OpenTree(AT_FDCWD, rootfs_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  head.root = plan.Fd(root);
  auto dev = runtime::MakeDevTree({}, false);
  ASSERT_TRUE(dev.ok()) << dev.status();
  head.dev = plan.Fd(Keep(std::move(*dev)));
  auto pts = runtime::MakeDevPts();
  ASSERT_TRUE(pts.ok()) << pts.status();
  head.pts = plan.Fd(Keep(std::move(*pts)));
  head.masked = plan.Texts(
      {"/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/does-not-exist"});
  head.readonly = plan.Texts({"/proc/sys", "/proc/bus", "/proc/sysrq-trigger"});
}

RunResult LaunchRig::Launch(runtime::PlanBuilder& plan, bool exec, bool wait) {
  RunResult result;
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  for (int i : {1, 2}) plan.head().stdio[i] = plan.Fd(write_end.get());
  const std::string bytes = plan.Finish();
  // A thread of its own, as the keeper's launchers: it ends in another mount namespace.
  std::thread launcher([&] {
    if (!exec) ASSERT_EQ(init::EnterMinimalMountNamespace(), 0);
    const auto& fds = plan.fds();
    const auto launch = exec ? init::LaunchExec : init::LaunchContainer;
    result.outcome = launch(bytes.data(), bytes.size(), fds.data(), fds.size(), nullptr);
  });
  launcher.join();
  kept_.clear();
  write_end.Reset();
  if (result.outcome.err != 0 || !wait) return result;
  result.out = ReadToEnd(read_end.get());
  result.exit_code = Wait(result.outcome.pidfd);
  close(result.outcome.pidfd);
  return result;
}

RunResult LaunchRig::Run(const std::vector<std::string>& args, const Edit& edit) {
  runtime::PlanBuilder plan(init::PlanKind::kStart);
  FillDefaults(plan, args);
  FillMounts(plan);
  if (edit) edit(plan);
  return Launch(plan, false, true);
}

RunResult LaunchRig::Start(const std::vector<std::string>& args, const Edit& edit) {
  runtime::PlanBuilder plan(init::PlanKind::kStart);
  FillDefaults(plan, args);
  FillMounts(plan);
  if (edit) edit(plan);
  return Launch(plan, false, false);
}

RunResult LaunchRig::Exec(const RunResult& container, const std::vector<std::string>& args,
                          const Edit& edit) {
  runtime::PlanBuilder plan(init::PlanKind::kExec);
  FillDefaults(plan, args);
  plan.head().container = plan.Fd(container.outcome.pidfd);
  if (edit) edit(plan);
  return Launch(plan, true, true);
}

void LaunchRig::Stop(RunResult& container) {
  if (container.outcome.pidfd < 0) return;
  sys::PidfdSendSignal(container.outcome.pidfd, SIGKILL);
  container.exit_code = Wait(container.outcome.pidfd);
  close(container.outcome.pidfd);
  container.outcome.pidfd = -1;
}

}  // namespace crisp::testing
