#include "runtime/security/apparmor.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

constexpr char kLoaded[] = "/sys/kernel/security/apparmor/profiles";
constexpr int kParserMs = 30000;

// What a container never needs, beyond what namespaces, capabilities and masks keep from it:
// mounting, the kernel's settings, processes outside of it. Signals come from crisp, unconfined.
constexpr char kDefaultProfile[] = R"(
profile crisp-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  unix,
  signal (receive) peer=unconfined,
  signal (send, receive) peer=crisp-default,
  ptrace (trace, read, tracedby, readby) peer=crisp-default,
  deny mount,
  deny /proc/* w,
  deny /proc/sys/{abi,debug,dev,user,vm}/** w,
  deny /proc/sys/fs/[^m]** w,
  deny /proc/sys/kernel/{[^sm]*,s[^he]*,m[^s]*}** w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  deny /sys/{block,bus,class,dev,devices,hypervisor,kernel,module,power}/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
)";

StatusOr<pid_t> SpawnParser(int input) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  char name[] = "apparmor_parser", flags[] = "-Kr", path[] = "PATH=/usr/sbin:/sbin:/usr/bin:/bin";
  char* const args[] = {name, flags, nullptr};
  char* const env[] = {path, nullptr};
  int err = ENOENT;
  pid_t pid = -1;
  for (const char* program : {"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"}) {
    if (err != 0) err = posix_spawn(&pid, program, &actions, nullptr, args, env);
  }
  posix_spawn_file_actions_destroy(&actions);
  if (err != 0) return ErrnoStatus(err, "execute apparmor_parser");
  return pid;
}

Status WaitForParser(pid_t pid) {
  const UniqueFd pidfd(sys::PidfdOpen(pid));
  pollfd poller{pidfd.get(), POLLIN, 0};
  const bool ended = pidfd.valid() && sys::Retry([&] { return poll(&poller, 1, kParserMs); }) == 1;
  if (!ended) kill(pid, SIGKILL);  // our own child, not reaped yet: the number is its
  int status = 0;
  sys::Retry([&] { return waitpid(pid, &status, 0); });
  if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("apparmor_parser ended with status ", status));
}

}  // namespace

bool AppArmorEnabled() {
  static const bool enabled =
      ReadFile("/sys/module/apparmor/parameters/enabled", 16).value_or("").substr(0, 1) == "Y";
  return enabled;
}

// A line is "name (mode)"; names may hold anything but a newline.
Status CheckAppArmorProfile(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(kLoaded));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.substr(0, line.rfind(" (")) == name) return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat("AppArmor profile \"", name, "\" is not loaded"));
}

Status LoadDefaultAppArmorProfile() {
  if (CheckAppArmorProfile(kDefaultAppArmorProfile).ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd text, MakeMemfd("crisp-default", kDefaultProfile, false));
  if (lseek(text.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "seek memfd");
  ASSIGN_OR_RETURN(const pid_t pid, SpawnParser(text.get()));
  RETURN_IF_ERROR(WaitForParser(pid));
  return CheckAppArmorProfile(kDefaultAppArmorProfile);
}

}  // namespace crisp::runtime
