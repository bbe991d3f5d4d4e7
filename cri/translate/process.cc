// Arguments, environment, working directory, stdio and rlimits of the first process.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "cri/translate/checks.h"
#include "cri/translate/parts.h"
#include "runtime/base/log.h"

namespace crisp::cri {
namespace {

constexpr char kDefaultPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A command replaces entrypoint and cmd; args alone replace cmd only (Kubernetes' table, the peers'
// behaviour).
std::vector<std::string> ArgsOf(const TranslateInput& input) {
  std::vector<std::string> args(input.config->command().begin(), input.config->command().end());
  const std::vector<std::string> own(input.config->args().begin(), input.config->args().end());
  const bool from_image = args.empty();
  if (from_image) args = input.image.entrypoint;
  const std::vector<std::string>& rest = from_image && own.empty() ? input.image.cmd : own;
  args.insert(args.end(), rest.begin(), rest.end());
  return args;
}

Status CheckArgs(const std::vector<std::string>& args) {
  if (args.empty() || args[0].empty()) {
    return InvalidField("config.command", "",
                        "no command given, and the image has neither entrypoint nor cmd");
  }
  size_t bytes = 0;
  for (const std::string& arg : args) {
    bytes += arg.size() + 1;
    if (arg.size() > kMaxArgBytes)
      return InvalidField("config.args", arg, "an argument is longer than 128 KiB");
    if (arg.find('\0') != std::string::npos)
      return InvalidField("config.args", arg, "must not hold NUL");
  }
  if (bytes > kMaxArgsBytes)
    return InvalidField("config.args", absl::StrCat(bytes, " bytes"), "more than 2 MiB");
  return absl::OkStatus();
}

// A later entry of the same name replaces the earlier one in its place. By an index: an image may
// bring a hundred thousand entries.
class Environment {
 public:
  Status Set(const std::string& entry) {
    if (entry.find('\0') != std::string::npos)
      return InvalidField("config.envs", entry, "must not hold NUL");
    const auto [at, added] = index_.emplace(entry.substr(0, entry.find('=')), entries_.size());
    if (added) {
      entries_.push_back(entry);
    } else {
      bytes_ -= entries_[at->second].size() + 1;
      entries_[at->second] = entry;
    }
    bytes_ += entry.size() + 1;
    if (bytes_ > kMaxEnvBytes)
      return InvalidField("config.envs", absl::StrCat(bytes_, " bytes"), "more than 1 MiB");
    return absl::OkStatus();
  }
  std::vector<std::string> Take() { return std::move(entries_); }

 private:
  std::vector<std::string> entries_;
  std::unordered_map<std::string, size_t> index_;
  size_t bytes_ = 0;
};

std::string HostnameOf(const v1::PodSandboxConfig& pod) {
  const bool host = pod.linux().security_context().namespace_options().network() == v1::NODE;
  if (!pod.hostname().empty() && !host) return pod.hostname();
  char node[256] = {};
  return gethostname(node, sizeof(node) - 1) == 0 ? node : "";
}

Status FillEnv(const TranslateInput& input, runtime::ContainerSpec* spec) {
  Environment env;
  RETURN_IF_ERROR(env.Set(kDefaultPath));
  RETURN_IF_ERROR(env.Set("HOSTNAME=" + HostnameOf(*input.pod)));
  if (input.config->tty()) RETURN_IF_ERROR(env.Set("TERM=xterm"));
  for (const std::string& entry : input.image.env) {
    // The image is foreign: what is no "name=value" is left out.
    const size_t equals = entry.find('=');
    if (equals != std::string::npos && equals > 0) RETURN_IF_ERROR(env.Set(entry));
  }
  for (const v1::KeyValue& pair : input.config->envs()) {
    if (pair.key().empty() || pair.key().find('=') != std::string::npos) {
      return InvalidField("config.envs.key", pair.key(), "must not be empty or hold \"=\"");
    }
    RETURN_IF_ERROR(env.Set(absl::StrCat(pair.key(), "=", pair.value())));
  }
  spec->env = env.Take();
  return absl::OkStatus();
}

// /proc/self/fd/N and the like are refused by the launch too; here the request gets the clear
// answer (CVE-2024-21626).
StatusOr<std::string> CwdOf(const TranslateInput& input) {
  const bool own = !input.config->working_dir().empty();
  const std::string& asked = own ? input.config->working_dir() : input.image.working_dir;
  if (asked.empty()) return std::string("/");
  const std::string field = own ? "config.working_dir" : "working directory of the image";
  ASSIGN_OR_RETURN(std::string cwd, CleanPath(field, asked));
  if (IsBelow(cwd, "/proc") || IsBelow(cwd, "/dev/fd")) {
    return InvalidField(field, asked, "must not be below /proc or /dev/fd");
  }
  return cwd;
}

// Independent of the daemon's own limits: the soft limit that programs expect, a hard one that they
// may raise it to.
std::vector<runtime::Rlimit> DefaultRlimits() {
  constexpr uint64_t kSoftFiles = 1024, kHardFiles = 524288;
  rlimit own{};
  getrlimit(RLIMIT_NOFILE, &own);
  static std::once_flag said;
  if (own.rlim_max < kHardFiles) {
    std::call_once(said, [&] {
      LogWarning("containers get a lower hard limit of open files than usual",
                 {{"usual", absl::StrCat(kHardFiles)}, {"given", absl::StrCat(own.rlim_max)}});
    });
  }
  const uint64_t hard = std::min<uint64_t>(kHardFiles, own.rlim_max);
  return {{RLIMIT_NOFILE, std::min(kSoftFiles, hard), hard}};
}

}  // namespace

Status FillProcess(const TranslateInput& input, runtime::ContainerSpec* spec) {
  spec->args = ArgsOf(input);
  RETURN_IF_ERROR(CheckArgs(spec->args));
  RETURN_IF_ERROR(FillEnv(input, spec));
  ASSIGN_OR_RETURN(spec->cwd, CwdOf(input));
  spec->tty = input.config->tty();
  spec->stdin_open = input.config->stdin();
  spec->stdin_once = input.config->stdin_once();
  spec->rlimits = DefaultRlimits();
  return absl::OkStatus();
}

}  // namespace crisp::cri
