#include "tests/kernel/container/container_rig.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/sys/clone.h"

namespace crisp::testing {
namespace {

constexpr auto kExitTimeout = std::chrono::seconds(30);

void MakeImage(const std::string& root) {
  for (const char* dir : {"", "/bin", "/etc", "/tmp", "/home"}) {
    mkdir((root + dir).c_str(), 0755);
  }
  std::filesystem::copy_file("/bin/busybox", root + "/bin/busybox");
  for (const char* name :
       {"sh",   "cat",    "ls",      "id",    "mount", "hostname", "sleep",    "echo",
        "grep", "touch",  "mkdir",   "pwd",   "stat",  "env",      "readlink", "tty",
        "true", "umount", "unshare", "mknod", "ps",    "wc",       "kill",     "head",
        "dd",   "chmod",  "test",    "tr",    "stty"}) {
    std::filesystem::create_symlink("busybox", root + "/bin/" + name);
  }
}

UniqueFd MakeNetns() {
  UniqueFd fd;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) == 0) {
      fd.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }
  }).join();
  return fd;
}

// "2026-...Z stdout F text" -> "text\n"
std::string Contents(const std::string& log) {
  std::string text;
  for (absl::string_view line : absl::StrSplit(log, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 3));
    if (parts.size() == 4) absl::StrAppend(&text, parts[3], "\n");
  }
  return text;
}

}  // namespace

ContainerRig::ContainerRig(const KernelFeatures& features, bool closed_parent)
    : dir_("/tmp/crisp-container-" + RandomHex(8)), cgroup_parent_("/crisp-test-" + RandomHex(8)) {
  mkdir(dir_.c_str(), closed_parent ? 0700 : 0755);
  chmod(dir_.c_str(), closed_parent ? 0700 : 0755);
  MakeImage(lower());
  auto host = runtime::CgroupHost::Probe(features);
  EXPECT_TRUE(host.ok()) << host.status();
  cgroups_ = std::move(*host);
  keeper::KeeperOptions options;
  options.binary = CRISP_KEEPER;
  options.socket_dir = dir_ + "/keeper";
  options.features = features;
  mkdir(options.socket_dir.c_str(), 0700);
  auto client = keeper::KeeperClient::Connect(options, [this](const keeper::ExitEvent& event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    exits_[event.id] = event.wait_status;
    changed_.notify_all();
  });
  EXPECT_TRUE(client.ok()) << client.status();
  keeper_ = std::move(*client);
  context_.cgroups = cgroups_.get();
  context_.keeper = keeper_.get();
  context_.features = features;
  context_.containers_dir = dir_ + "/containers";
  if (!features.pidfd_exit_info) {
    context_.wait_exit = [this](const std::string& id, int) { return WaitExit(id); };
  }
  runtime::PodSpec spec;
  spec.id = NewId();
  spec.hostname = "pod-host";
  spec.hosts = runtime::MakeHostsFile({"10.0.0.7"}, "pod-host");
  spec.resolv_conf = "nameserver 10.0.0.53\n";
  runtime::PodNamespaces given;
  given.net = MakeNetns();
  auto pod = runtime::MakePodSandbox(spec, std::move(given), features, dir_);
  EXPECT_TRUE(pod.ok()) << pod.status();
  pod_ = std::move(*pod);
}

ContainerRig::~ContainerRig() {
  const pid_t keeper = keeper_->keeper_pid();
  const UniqueFd pidfd(sys::PidfdOpen(keeper));
  keeper_ = nullptr;
  if (pidfd.valid()) sys::PidfdSendSignal(pidfd.get(), SIGKILL);
  pod_ = {};
  for (const auto& entry : std::filesystem::directory_iterator(dir_ + "/")) {
    if (entry.path().filename() != "sandboxes") continue;
    for (const auto& pod : std::filesystem::directory_iterator(entry)) {
      EXPECT_TRUE(runtime::RemovePodSandboxFiles(pod.path().filename(), dir_).ok());
    }
  }
  std::filesystem::remove_all(dir_);
  for (const char* top : {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio",
                          "pids", "systemd", "unified", "."}) {
    rmdir(absl::StrCat("/sys/fs/cgroup/", top, cgroup_parent_).c_str());
  }
}

runtime::ContainerSpec ContainerRig::Spec(const std::vector<std::string>& args) {
  runtime::ContainerSpec spec;
  spec.id = NewId();
  spec.args = args;
  spec.env = {"PATH=/bin", "MARK=from-spec"};
  spec.cgroup_parent = cgroup_parent_;
  spec.lower_dirs = {lower()};
  auto caps = runtime::ComputeCapabilities({}, {}, {}, false);
  EXPECT_TRUE(caps.ok());
  spec.caps = *caps;
  auto filter = runtime::DefaultSeccompFilter(spec.caps.bounding);
  EXPECT_TRUE(filter.ok());
  spec.seccomp = *filter;
  spec.masked_paths = {"/proc/kcore",   "/proc/keys",       "/proc/timer_list", "/proc/acpi",
                       "/sys/firmware", "/proc/interrupts", "/nonexistent"};
  spec.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  spec.device_rules = {{'c', -1, -1, "m"}, {'c', 1, 3, "rwm"}, {'c', 1, 5, "rwm"},
                       {'c', 1, 7, "rwm"}, {'c', 1, 8, "rwm"}, {'c', 1, 9, "rwm"},
                       {'c', 5, 0, "rwm"}, {'c', 5, 2, "rwm"}, {'c', 136, -1, "rwm"}};
  return spec;
}

StatusOr<std::unique_ptr<ContainerRig::Running>> ContainerRig::Start(
    const runtime::ContainerSpec& spec) {
  auto running = std::make_unique<Running>();
  running->spec = spec;
  auto prepared = runtime::PrepareContainer(spec, context_, false);
  RETURN_IF_ERROR(Annotate(prepared.status(), "prepare"));
  running->prepared = std::move(*prepared);
  running->log_path = dir_ + "/log-" + spec.id;
  const UniqueFd log(open(running->log_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  runtime::StartOptions options;
  options.log = log.get();
  auto started = runtime::StartContainer(*running->prepared, pod_, context_, options);
  if (!started.ok()) {
    running->prepared = nullptr;
    EXPECT_TRUE(runtime::DestroyContainer(spec.id, spec.cgroup_parent, context_).ok());
    return Annotate(started.status(), "start");
  }
  running->started = std::move(*started);
  return running;
}

int ContainerRig::WaitExit(const std::string& id) {
  std::unique_lock<std::mutex> lock(mutex_);
  const bool came = changed_.wait_for(lock, kExitTimeout, [&] { return exits_.count(id) > 0; });
  EXPECT_TRUE(came) << "no exit of " << id;
  return came ? exits_[id] : -1;
}

RunResult ContainerRig::Finish(Running& container) {
  RunResult result;
  const std::string& id = container.spec.id;
  const int status = WaitExit(id);
  result.exit_code = status == keeper::kUnknownStatus ? 255 : sys::ExitCodeOf(status);
  EXPECT_TRUE(keeper_->FlushLog(id, 5000).ok());
  result.log = Contents(ReadFile(container.log_path).value_or(""));
  keeper_->AckExit(id);
  keeper_->Drop(id);
  container.prepared = nullptr;
  container.started = {};
  const Status destroyed = runtime::DestroyContainer(id, cgroup_parent_, context_);
  EXPECT_TRUE(destroyed.ok()) << destroyed;
  return result;
}

RunResult ContainerRig::Wait(Running& container) { return Finish(container); }

RunResult ContainerRig::Stop(Running& container) {
  sys::PidfdSendSignal(container.started.pidfd.get(), SIGKILL);
  return Finish(container);
}

RunResult ContainerRig::Run(const runtime::ContainerSpec& spec) {
  auto running = Start(spec);
  if (!running.ok()) return {running.status(), "", -1};
  return Finish(**running);
}

StatusOr<runtime::ExecOutput> ContainerRig::Exec(Running& container,
                                                 const std::vector<std::string>& args,
                                                 int timeout_ms) {
  runtime::ExecSpec exec;
  exec.args = args;
  exec.timeout_ms = timeout_ms;
  return runtime::ExecInContainer(container.spec, container.prepared->identity,
                                  container.started.pidfd.get(), *container.prepared->cgroup, pod_,
                                  context_, exec);
}

std::vector<KernelFeatures> AllFeatures() {
  const auto probed = ProbeKernelFeatures({});
  EXPECT_TRUE(probed.ok()) << probed.status();
  return {*probed, KernelFeatures{}};
}

}  // namespace crisp::testing
