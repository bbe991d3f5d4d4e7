#include "cni/external/exec_plugin.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "cni/conf_list.h"
#include "cni/external/result.h"
#include "runtime/base/files.h"
#include "runtime/base/stages.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/mount.h"
#include "runtime/sys/retry.h"

namespace crisp::cni {
namespace {

struct Pipe {
  UniqueFd read, write;
};

StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "make pipe");
  Pipe pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
  if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "set pipe non-blocking");
  return pipe;
}

// Our environment (proxies, PATH for iptables) with the CNI_ variables of this call alone.
std::vector<std::string> Environment(const PluginCall& call) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!absl::StartsWith(*entry, "CNI_")) environment.push_back(*entry);
  environment.push_back(absl::StrCat("CNI_COMMAND=", call.command));
  environment.push_back(absl::StrCat("CNI_CONTAINERID=", call.container_id));
  environment.push_back(absl::StrCat("CNI_NETNS=", call.netns));
  environment.push_back(absl::StrCat("CNI_IFNAME=", call.ifname));
  environment.push_back(absl::StrCat("CNI_ARGS=", call.args));
  environment.push_back(absl::StrCat("CNI_PATH=", absl::StrJoin(call.bin_dirs, ":")));
  return environment;
}

// Between fork and exec: only async-signal-safe calls.
[[noreturn]] void Child(int plugin, char* const* argv, char* const* envp, int in, int out,
                        int err) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal_number : {SIGPIPE, SIGCHLD, SIGINT, SIGTERM, SIGHUP})
    signal(signal_number, SIG_DFL);
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(126);
  syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
  // A script's interpreter opens the script by this descriptor, so it stays open.
  fcntl(plugin, F_SETFD, 0);
  syscall(SYS_execveat, plugin, "", argv, envp, AT_EMPTY_PATH);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(2, "cannot be executed\n", 19);
  _exit(error == EACCES || error == ENOEXEC ? 126 : 127);
}

// A started plugin; killed with its group and reaped at the end of its scope.
class Running {
 public:
  explicit Running(pid_t pid) : pid_(pid), pidfd_(sys::PidfdOpen(pid)) {}
  ~Running() {
    if (pid_ <= 0) return;
    Kill();
    Reap();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  int pidfd() const { return pidfd_.get(); }
  void Kill() {
    // The child made itself leader of its group; before that only the child itself exists.
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
  }
  int Reap() {
    int status = 0;
    sys::Retry([&] { return waitpid(pid_, &status, 0); });
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
};

StatusOr<pid_t> Spawn(const PluginFile& plugin, const PluginCall& call, int in, int out, int err) {
  const std::vector<std::string> environment = Environment(call);
  std::vector<char*> envp;
  for (const std::string& entry : environment) envp.push_back(const_cast<char*>(entry.c_str()));
  envp.push_back(nullptr);
  char* argv[] = {const_cast<char*>(plugin.path.c_str()), nullptr};
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) Child(plugin.fd.get(), argv, envp.data(), in, out, err);
  return pid;
}

struct Output {
  std::string out, err;
  bool too_much = false;
};

// Takes what a pipe holds. False: the writers are gone.
bool Take(int fd, std::string* text) {
  char buffer[16 << 10];
  while (true) {
    const ssize_t got = sys::Retry([&] { return read(fd, buffer, sizeof(buffer)); });
    if (got > 0) text->append(buffer, static_cast<size_t>(got));
    if (got < static_cast<ssize_t>(sizeof(buffer))) return got > 0 || (got < 0 && errno == EAGAIN);
    if (text->size() > kMaxPluginOutput) return true;
  }
}

void TakeBoth(pollfd* out, pollfd* err, Output* output) {
  if (out->fd >= 0 && !Take(out->fd, &output->out)) out->fd = -1;
  if (err->fd >= 0 && !Take(err->fd, &output->err)) err->fd = -1;
  output->too_much = output->out.size() > kMaxPluginOutput;
  if (output->err.size() > kMaxPluginErrors)
    output->err.erase(0, output->err.size() - kMaxPluginErrors);
}

// Reads until the plugin has exited.
Status Collect(const Running& running, int out, int err, const PluginCall& call, Output* output) {
  const int64_t deadline = MonotonicNanos() + int64_t{call.timeout_ms} * 1'000'000;
  pollfd fds[4] = {{out, POLLIN, 0},
                   {err, POLLIN, 0},
                   {running.pidfd(), POLLIN, 0},
                   {call.cancel_fd, POLLIN, 0}};
  while (true) {
    const int64_t left = (deadline - MonotonicNanos() + 999'999) / 1'000'000;
    if (left <= 0)
      return absl::DeadlineExceededError(
          absl::StrCat("did not end within ", call.timeout_ms, " ms"));
    const int ready = sys::Retry([&] { return poll(fds, 4, static_cast<int>(left)); });
    if (ready < 0) return ErrnoStatus(errno, "wait for plugin");
    if ((fds[3].revents & POLLIN) != 0) return absl::CancelledError("the daemon ends");
    const bool exited = (fds[2].revents & POLLIN) != 0;
    TakeBoth(&fds[0], &fds[1], output);
    if (output->too_much)
      return absl::ResourceExhaustedError(
          absl::StrCat("wrote more than ", kMaxPluginOutput, " bytes"));
    if (exited) return absl::OkStatus();
  }
}

Status ExitStatus(int wait_status, const Output& output) {
  if (wait_status == 0) return absl::OkStatus();
  const std::string how = WIFSIGNALED(wait_status)
                              ? absl::StrCat("killed by signal ", WTERMSIG(wait_status))
                              : absl::StrCat("exit code ", WEXITSTATUS(wait_status));
  const std::string words = DescribePluginError(output.out);
  return absl::UnavailableError(
      absl::StrCat(how, ": ", words.empty() ? CleanText(output.err) : words));
}

StatusOr<std::string> Exec(const PluginFile& plugin, const PluginCall& call) {
  // A file as stdin: a plugin that does not read cannot block us.
  ASSIGN_OR_RETURN(const UniqueFd in, MakeMemfd("cni-config", call.config, false));
  if (lseek(in.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "rewind configuration");
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  ASSIGN_OR_RETURN(const pid_t pid,
                   Spawn(plugin, call, in.get(), out.write.get(), err.write.get()));
  Running running(pid);
  if (running.pidfd() < 0) return ErrnoStatus(errno, "open pidfd of plugin");
  out.write.Reset();
  err.write.Reset();
  Output output;
  RETURN_IF_ERROR(Collect(running, out.read.get(), err.read.get(), call, &output));
  RETURN_IF_ERROR(ExitStatus(running.Reap(), output));
  return std::move(output.out);
}

}  // namespace

StatusOr<PluginFile> FindPlugin(const std::vector<std::string>& bin_dirs, const std::string& type) {
  if (!IsPluginType(type)) return InvalidField("plugins.type", type, "not a plain file name");
  for (const std::string& dir : bin_dirs) {
    const StatusOr<UniqueFd> folder = OpenDir(dir);
    if (!folder.ok()) continue;
    PluginFile plugin{UniqueFd(sys::Openat2(folder->get(), type.c_str(), O_PATH | O_CLOEXEC,
                                            RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)),
                      absl::StrCat(dir, "/", type)};
    if (!plugin.fd.valid() && errno == ENOENT) continue;
    if (!plugin.fd.valid()) return ErrnoStatus(errno, "open plugin ", plugin.path);
    struct stat info {};
    if (fstat(plugin.fd.get(), &info) != 0)
      return ErrnoStatus(errno, "examine plugin ", plugin.path);
    if (!S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0)
      return absl::FailedPreconditionError(
          absl::StrCat("plugin ", plugin.path, " is not an executable file"));
    if ((info.st_mode & 0002) != 0)
      return absl::FailedPreconditionError(
          absl::StrCat("plugin ", plugin.path, " can be written by everybody"));
    return plugin;
  }
  return absl::NotFoundError(
      absl::StrCat("plugin ", type, " is not in ", absl::StrJoin(bin_dirs, ", ")));
}

StatusOr<std::string> ExecPlugin(const PluginFile& plugin, const PluginCall& call) {
  StatusOr<std::string> output = Exec(plugin, call);
  if (!output.ok()) return Annotate(output.status(), "plugin ", plugin.path, ": ", call.command);
  return output;
}

}  // namespace crisp::cni
