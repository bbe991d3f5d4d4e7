#include "cri/cli/run_config.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cri/cli/objects.h"

namespace crisp::cli {
namespace {

constexpr size_t kMaxName = 63;  // of a DNS label: it becomes the hostname

Status AddEnvironment(const Invocation& call, v1::ContainerConfig* container) {
  for (const std::string& text : call.All("env")) {
    const size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    if (key.empty()) return InvalidField("--env", text, "must be K=V or K");
    const char* ours = equals == std::string::npos ? getenv(key.c_str()) : nullptr;
    if (equals == std::string::npos && ours == nullptr) continue;
    v1::KeyValue* env = container->add_envs();
    env->set_key(key);
    env->set_value(ours != nullptr ? std::string(ours) : text.substr(equals + 1));
  }
  return absl::OkStatus();
}

Status AddMounts(const Invocation& call, v1::ContainerConfig* container) {
  for (const std::string& text : call.All("mount")) {
    const std::vector<std::string> parts = absl::StrSplit(text, ':');
    const bool read_only = parts.size() == 3 && parts[2] == "ro";
    if (parts.size() < 2 || parts.size() > 3 ||
        (parts.size() == 3 && !read_only && parts[2] != "rw"))
      return InvalidField("--mount", text, "must be HOST:CONTAINER or HOST:CONTAINER:ro");
    if (!absl::StartsWith(parts[0], "/") || !absl::StartsWith(parts[1], "/"))
      return InvalidField("--mount", text, "both paths must be absolute");
    v1::Mount* mount = container->add_mounts();
    mount->set_host_path(parts[0]);
    mount->set_container_path(parts[1]);
    mount->set_readonly(read_only);
  }
  return absl::OkStatus();
}

Status SetUser(const std::string& text, v1::LinuxContainerSecurityContext* security) {
  if (text.empty()) return absl::OkStatus();
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  int64_t uid = 0, gid = 0;
  if (parts.size() > 2 || parts[0].empty())
    return InvalidField("--user", text, "must be USER or USER:GID");
  if (absl::SimpleAtoi(parts[0], &uid)) {
    security->mutable_run_as_user()->set_value(uid);
  } else {
    security->set_run_as_username(parts[0]);
  }
  if (parts.size() == 2) {
    if (!absl::SimpleAtoi(parts[1], &gid))
      return InvalidField("--user", text, "the group must be a number");
    security->mutable_run_as_group()->set_value(gid);
  }
  return absl::OkStatus();
}

// What the kubelet sends for a container with procMount: Default.
void AddDefaultMasks(v1::LinuxContainerSecurityContext* security) {
  for (const char* path :
       {"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"})
    security->add_masked_paths(path);
  for (const char* path :
       {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"})
    security->add_readonly_paths(path);
}

// An absent profile means unconfined in the CRI, so the default one is asked for by name.
void SetConfinement(bool privileged, v1::LinuxContainerSecurityContext* security) {
  security->set_privileged(privileged);
  security->mutable_seccomp()->set_profile_type(privileged ? v1::SecurityProfile::Unconfined
                                                           : v1::SecurityProfile::RuntimeDefault);
  if (!privileged) AddDefaultMasks(security);
}

Status FillPod(const Invocation& call, const std::string& uid, RunPlan* config) {
  const std::string net = call.Get("net", "pod");
  if (net != "pod" && net != "host") return InvalidField("--net", net, "must be pod or host");
  v1::PodSandboxConfig& pod = config->pod;
  pod.mutable_metadata()->set_name(config->name);
  pod.mutable_metadata()->set_namespace_(kRunNamespace);
  pod.mutable_metadata()->set_uid(uid);
  pod.set_log_directory(config->log_directory);
  (*pod.mutable_labels())[kRunLabel] = "true";
  if (net == "pod") pod.set_hostname(config->name);
  auto* security = pod.mutable_linux()->mutable_security_context();
  security->set_privileged(call.Has("privileged"));
  auto* namespaces = security->mutable_namespace_options();
  namespaces->set_network(net == "host" ? v1::NODE : v1::POD);
  namespaces->set_pid(v1::CONTAINER);
  return absl::OkStatus();
}

Status FillContainer(const Invocation& call, RunPlan* config) {
  v1::ContainerConfig& container = config->container;
  container.mutable_metadata()->set_name(config->name);
  container.set_log_path(config->name + ".log");
  container.set_working_dir(call.Get("workdir"));
  // Like `docker run IMAGE CMD`: the words replace the image's CMD, its ENTRYPOINT stays.
  for (size_t i = 1; i < call.args.size(); ++i) container.add_args(call.args[i]);
  auto* security = container.mutable_linux()->mutable_security_context();
  *security->mutable_namespace_options() =
      config->pod.linux().security_context().namespace_options();
  SetConfinement(call.Has("privileged"), security);
  RETURN_IF_ERROR(SetUser(call.Get("user"), security));
  RETURN_IF_ERROR(AddEnvironment(call, &container));
  return AddMounts(call, &container);
}

}  // namespace

bool IsRunName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
         });
}

std::string NameOfImage(absl::string_view image) {
  image = image.substr(0, image.find('@'));
  if (const size_t slash = image.rfind('/'); slash != absl::string_view::npos)
    image.remove_prefix(slash + 1);
  image = image.substr(0, image.find(':'));
  std::string name;
  for (unsigned char c : image.substr(0, 40)) {
    const bool good = absl::ascii_isalnum(c);
    if (good || !name.empty()) name += good ? absl::ascii_tolower(c) : '-';
  }
  while (absl::EndsWith(name, "-")) name.pop_back();
  return name.empty() ? "container" : name;
}

StatusOr<RunPlan> MakeRunPlan(const Invocation& call, const std::string& suffix,
                              const std::string& uid) {
  RunPlan config;
  config.name =
      call.Has("name") ? call.Get("name") : absl::StrCat(NameOfImage(call.args[0]), "-", suffix);
  if (!IsRunName(config.name))
    return InvalidField("--name", config.name, "must be 1 to 63 of a-z, 0-9 and -");
  config.log_directory = absl::StrCat(kRunLogRoot, "/", config.name);
  RETURN_IF_ERROR(FillPod(call, uid, &config));
  RETURN_IF_ERROR(FillContainer(call, &config));
  return config;
}

}  // namespace crisp::cli
