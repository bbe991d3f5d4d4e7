#include "runtime/oci/oci_runtime.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"
#include "runtime/oci/bundle.h"
#include "runtime/oci/host_program.h"
#include "runtime/oci/oci_config.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

constexpr int kCommandMs = 30000;  // of one call of the runtime
constexpr int kDeleteMs = 10000, kKillTimeoutMs = 5000;
constexpr size_t kMaxLog = 1 << 20;

// Ours is open in this process: the runtime opens it by that name.
std::string PathOf(const UniqueFd& fd) {
  return fd.valid() ? absl::StrCat("/proc/", getpid(), "/fd/", fd.get()) : "";
}

std::vector<std::string> Words(const std::vector<std::string>& command, const std::string& bundle,
                               std::vector<std::string> rest) {
  std::vector<std::string> words = command;
  for (const std::string& word :
       {std::string("--log"), bundle + "/log", std::string("--log-format"), std::string("json")})
    words.push_back(word);
  words.insert(words.end(), rest.begin(), rest.end());
  return words;
}

Status Failure(const std::vector<std::string>& command, const std::string& bundle,
               const std::string& verb, int wait_status) {
  const std::string why = LastError(ReadFile(bundle + "/log", kMaxLog).value_or(""));
  return absl::InternalError(absl::StrCat(
      command.front(), " ", verb, ": ",
      why.empty() ? absl::StrCat("wait status ", wait_status, ", no error in its log") : why));
}

Status Run(const std::vector<std::string>& command, const std::string& bundle,
           const std::vector<std::string>& rest, Stdio& stdio, int timeout_ms,
           const RuntimeContext& context, int v2 = -1) {
  ASSIGN_OR_RETURN(HostProgram program,
                   HostProgram::Start(Words(command, bundle, rest), stdio, context, v2));
  const auto ended = program.Wait(timeout_ms);
  RETURN_IF_ERROR(Annotate(ended.status(), command.front(), " ", rest.front()));
  return *ended == 0 ? absl::OkStatus() : Failure(command, bundle, rest.front(), *ended);
}

Status RunQuietly(const std::vector<std::string>& command, const std::string& bundle,
                  const std::vector<std::string>& rest, int timeout_ms,
                  const RuntimeContext& context) {
  ASSIGN_OR_RETURN(Stdio null, MakeNullStdio());
  return Run(command, bundle, rest, null, timeout_ms, context);
}

StatusOr<pid_t> ReadPid(const std::string& bundle) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(bundle + "/pid", 64));
  pid_t pid = 0;
  if (absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &pid) && pid > 1) return pid;
  return absl::DataLossError(absl::StrCat("pid file of the runtime holds \"", text, "\""));
}

// The number alone proves nothing: pinned first, then its parent is looked at (R15).
StatusOr<UniqueFd> OpenFirstProcess(pid_t pid, pid_t keeper) {
  UniqueFd pidfd(sys::PidfdOpen(pid));
  if (!pidfd.valid()) return ErrnoStatus(errno, "open process ", pid);
  ASSIGN_OR_RETURN(const std::string status,
                   ReadFile(absl::StrCat("/proc/", pid, "/status"), 64 << 10));
  if (absl::StrContains(status, absl::StrCat("\nPPid:\t", keeper, "\n"))) return pidfd;
  return absl::InternalError(
      absl::StrCat("process ", pid, " of the runtime is no child of the keeper"));
}

StatusOr<std::string> ConfigOf(const PreparedContainer& prepared, const PodSandbox& pod,
                               const std::string& bundle, bool default_seccomp) {
  OciInput input;
  input.spec = &prepared.spec;
  input.identity = &prepared.identity;
  input.rootfs = bundle + "/rootfs";
  input.net = PathOf(pod.net);
  input.ipc = PathOf(pod.ipc);
  input.uts = PathOf(pod.uts);
  if (pod.shm.valid()) input.shm = bundle + "/shm";
  input.files = bundle + "/files";
  input.cgroup = prepared.cgroup->path();
  input.default_seccomp = default_seccomp;
  return MakeOciConfig(input);
}

keeper::LaunchRequest HoldRequest(const PreparedContainer& prepared, const Stdio& stdio,
                                  const StartOptions& options) {
  keeper::LaunchRequest request;
  request.id = prepared.spec.id;
  request.stdout_read = stdio.out_read.get();
  request.stderr_read = stdio.err_read.get();
  request.stdin_write = stdio.in_write.get();
  request.log = options.log;
  request.log_offset = options.log_offset;
  request.max_line = options.max_log_line;
  return request;
}

}  // namespace

int BirthGroup(const RuntimeContext& context, int v2) {
  return context.cgroups->mode() == CgroupMode::kHybrid ? v2 : -1;
}

OciRuntime::OciRuntime(std::vector<std::string> command, std::string oci_dir)
    : command_(std::move(command)), oci_dir_(std::move(oci_dir)) {
  command_.push_back("--root");
  command_.push_back(oci_dir_ + "/state");
}

std::string OciRuntime::Bundle(const std::string& id) const {
  return absl::StrCat(oci_dir_, "/", id);
}

Status OciRuntime::CheckProgram() const {
  if (access(command_.front().c_str(), X_OK) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "find program ", command_.front());
}

Status OciRuntime::Check(const ContainerSpec& spec) const {
  if (spec.tty) return InvalidField("tty", "true", "not possible with an external runtime");
  if (spec.pid != NamespaceMode::kContainer) {
    return InvalidField("security_context.namespace_options.pid", "",
                        "only CONTAINER is possible with an external runtime");
  }
  if (spec.seccomp && !spec.seccomp->source.empty()) {
    return InvalidField("security_context.seccomp", "Localhost",
                        "not possible with an external runtime");
  }
  if (!spec.id_map.empty()) {
    return InvalidField("security_context.namespace_options.userns_options", "POD",
                        "not possible with an external runtime");
  }
  for (const BindMount& mount : spec.mounts) {
    if (!mount.image_layers.empty() || !mount.id_map.empty()) {
      return InvalidField("mounts.container_path", mount.target,
                          "an image volume or an idmapped mount is not possible with an external "
                          "runtime");
    }
  }
  return absl::OkStatus();
}

StatusOr<StartedContainer> OciRuntime::Start(PreparedContainer& prepared, const PodSandbox& pod,
                                             const RuntimeContext& context,
                                             const StartOptions& options,
                                             bool default_seccomp) const {
  const std::string& id = prepared.spec.id;
  const std::string bundle = Bundle(id);
  RETURN_IF_ERROR(MakeDirs(oci_dir_ + "/state", 0700));
  RETURN_IF_ERROR(DestroyOci(id, oci_dir_, context));  // of a start that a daemon did not survive
  Pending undo([&] {
    (void)DestroyOci(id, oci_dir_, context);
    (void)prepared.cgroup->Kill(kKillTimeoutMs);
  });
  RETURN_IF_ERROR(MakeBundle(bundle, command_));
  ASSIGN_OR_RETURN(const BundleMounts mounts, BundleMounts::Attach(bundle, prepared, pod));
  ASSIGN_OR_RETURN(const std::string config, ConfigOf(prepared, pod, bundle, default_seccomp));
  RETURN_IF_ERROR(WriteBundleFile(bundle, "config.json", config));

  ASSIGN_OR_RETURN(Stdio stdio, MakePipes(prepared.spec.stdin_open, prepared.identity.uid));
  RETURN_IF_ERROR(Run(command_, bundle,
                      {"create", "--bundle", bundle, "--pid-file", bundle + "/pid", id}, stdio,
                      kCommandMs, context, BirthGroup(context, prepared.cgroup->v2_fd())));
  ASSIGN_OR_RETURN(const pid_t pid, ReadPid(bundle));
  StartedContainer started;
  ASSIGN_OR_RETURN(started.pidfd, OpenFirstProcess(pid, context.keeper->keeper_pid()));
  // Before the workload runs: its exit code and its first byte of output are the keeper's.
  ASSIGN_OR_RETURN(started.started_nanos,
                   context.keeper->HoldContainer(HoldRequest(prepared, stdio, options), pid,
                                                 started.pidfd.get()));
  Pending held([&] { context.keeper->Drop(id); });
  RETURN_IF_ERROR(RunQuietly(command_, bundle, {"start", id}, kCommandMs, context));
  held.Commit();
  undo.Commit();
  started.pid = pid;
  started.stdin_write = std::move(stdio.in_write);
  return started;
}

Status OciRuntime::Resume(const std::string& id, const RuntimeContext& context) const {
  return RunQuietly(command_, Bundle(id), {"start", id}, kCommandMs, context);
}

Status OciRuntime::Signal(const std::string& id, int signal, const RuntimeContext& context) const {
  return RunQuietly(command_, Bundle(id), {"kill", id, absl::StrCat(signal)}, kCommandMs, context);
}

Status DestroyOci(const std::string& id, const std::string& oci_dir,
                  const RuntimeContext& context) {
  const std::string bundle = absl::StrCat(oci_dir, "/", id);
  const auto command = CommandOfBundle(bundle);
  if (absl::IsNotFound(command.status())) return absl::OkStatus();
  // What the program does not do any more (it may be gone) is done without it: the cgroup is killed
  // and removed by DestroyContainer, the state and the bundle are removed here.
  if (command.ok())
    (void)RunQuietly(*command, bundle, {"delete", "--force", id}, kDeleteMs, context);
  if (const auto state = OpenDir(oci_dir + "/state"); state.ok())
    RETURN_IF_ERROR(RemoveTreeAt(state->get(), id));
  return RemoveBundle(bundle);
}

}  // namespace crisp::runtime
