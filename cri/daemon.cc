#include "cri/daemon.h"

#include <fcntl.h>
#include <unistd.h>

#include "cri/debug_pages.h"
#include "cri/service/recovery.h"
#include "cri/service/stream_backend.h"
#include "runtime/base/files.h"
#include "runtime/base/log.h"
#include "runtime/base/stages.h"
#include "runtime/cgroup/systemd_host.h"
#include "runtime/container/mount_points.h"

namespace crisp::cri {
namespace {

constexpr char kBuiltinTag[] = "crisp.local/busybox:latest";
constexpr char kBuiltinLayout[] = "/../share/crisp/images/busybox";

image::ImageOptions ImageOptionsOf(const Config& config, const std::string& program_dir) {
  image::ImageOptions options;
  options.root = config.root + "/images";
  options.unpacker =
      config.unpacker_binary.empty() ? program_dir + "/crisp-unpack" : config.unpacker_binary;
  for (const auto& [host, registry] : config.registries) {
    options.registries[host] = {registry.endpoint, registry.plain_http, registry.skip_verify,
                                registry.ca_file};
  }
  return options;
}

cni::NetworkOptions NetworkOptionsOf(const Config& config) {
  cni::NetworkOptions options;
  options.conf_dirs = config.network.conf_dirs;
  options.bin_dirs = config.network.bin_dirs;
  options.builtin = config.network.builtin;
  options.builtin_subnet = config.network.subnet;
  options.builtin_bridge = config.network.bridge;
  options.state_dir = config.state + "/network";
  options.pool_size = static_cast<int>(config.network.pool_size);
  return options;
}

StreamOptions StreamOptionsOf(const Config& config) {
  StreamOptions options;
  const std::string& policy = config.streaming.on_disconnect;
  options.on_disconnect = policy == "kill"    ? OnDisconnect::kKill
                          : policy == "leave" ? OnDisconnect::kLeave
                                              : OnDisconnect::kHangUp;
  options.hangup_grace = std::chrono::milliseconds(config.streaming.hangup_grace_ms);
  options.attach_wait_ms = static_cast<int>(config.streaming.attach_wait_ms);
  return options;
}

std::string KeeperBinary(const Config& config, const std::string& program_dir) {
  return config.keeper_binary.empty() ? program_dir + "/crisp-keeper" : config.keeper_binary;
}

StatusOr<std::unique_ptr<runtime::CgroupHost>> OpenCgroups(const Config& config,
                                                           const KernelFeatures& features,
                                                           const std::string& program_dir) {
  ASSIGN_OR_RETURN(std::unique_ptr<runtime::CgroupHost> cgroups,
                   runtime::CgroupHost::Probe(features));
  const bool systemd =
      config.cgroup_driver == "systemd" ||
      (config.cgroup_driver == "auto" && runtime::SystemdIsPossible(cgroups->mode()));
  if (!systemd) return cgroups;
  return runtime::MakeSystemdHost(std::move(cgroups), KeeperBinary(config, program_dir));
}

}  // namespace

StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Config& config,
                                                const std::string& program_dir) {
  std::unique_ptr<Daemon> daemon(new Daemon(config));
  JournalReplay replay;
  RETURN_IF_ERROR(daemon->MakeDirectories());
  RETURN_IF_ERROR(daemon->OpenKernel(program_dir));
  RETURN_IF_ERROR(daemon->OpenImages(program_dir));
  RETURN_IF_ERROR(daemon->OpenState(program_dir, &replay));
  RETURN_IF_ERROR(daemon->OpenNetwork());
  RETURN_IF_ERROR(daemon->BuildServices(replay));
  RETURN_IF_ERROR(daemon->Serve());
  return daemon;
}

Status Daemon::MakeDirectories() {
  containers_dir_ = config_.root + "/containers";
  // 0711: user-namespaced and non-root containers pass through; nobody can list.
  for (const std::string& dir : {config_.root, config_.state, containers_dir_})
    RETURN_IF_ERROR(MakeDirs(dir, 0711));
  return runtime::MakeMountPoints(MountPointsDir());
}

Status Daemon::OpenKernel(const std::string& program_dir) {
  ASSIGN_OR_RETURN(features_, ProbeKernelFeatures(config_.debug.kernel_features_off));
  ASSIGN_OR_RETURN(cgroups_, OpenCgroups(config_, features_, program_dir));
  auto left = runtime::LeftGroups::Start();
  if (left.ok()) {
    left_groups_ = std::move(*left);
  } else {
    LogWarning("cgroups of execs with background processes will stay as long as their container",
               {{"error", left.status().ToString()}});
  }
  return absl::OkStatus();
}

Status Daemon::OpenImages(const std::string& program_dir) {
  ASSIGN_OR_RETURN(images_, image::ImageService::Open(ImageOptionsOf(config_, program_dir)));
  const std::string layout =
      config_.default_image.empty() ? program_dir + kBuiltinLayout : config_.default_image;
  if (access((layout + "/index.json").c_str(), R_OK) != 0)
    return absl::OkStatus();  // not shipped: fine
  const auto present = images_->Find(kBuiltinTag);
  if (present.ok() && present->has_value()) return absl::OkStatus();
  const auto loaded = images_->LoadLayout(layout, kBuiltinTag, /*pin=*/true);
  // Pods of other images do not depend on it.
  if (!loaded.ok())
    LogWarning("loading the built-in image",
               {{"layout", layout}, {"error", loaded.status().ToString()}});
  return absl::OkStatus();
}

Status Daemon::OpenState(const std::string& program_dir, JournalReplay* replay) {
  ASSIGN_OR_RETURN(journal_, Journal::Open(config_.state, replay));
  if (!replay->torn.empty()) LogWarning("cut a torn journal", {{"why", replay->torn}});
  keeper::KeeperOptions options;
  options.binary = KeeperBinary(config_, program_dir);
  options.socket_dir = config_.state + "/keeper";
  options.features = features_;
  ASSIGN_OR_RETURN(keeper_,
                   keeper::KeeperClient::Connect(
                       options, [this](const keeper::ExitEvent& event) { exits_.Post(event); }));
  return absl::OkStatus();
}

Status Daemon::OpenNetwork() {
  ASSIGN_OR_RETURN(network_, cni::PodNetwork::Open(NetworkOptionsOf(config_)));
  return absl::OkStatus();
}

Status Daemon::BuildServices(const JournalReplay& replay) {
  ServiceOptions options;
  options.state_dir = config_.state;
  options.root_dir = config_.root;
  options.sandbox_image = config_.sandbox_image;
  options.max_log_line = static_cast<uint32_t>(config_.log.max_line_bytes);
  options.log_file_bytes = static_cast<uint64_t>(config_.log.max_file_bytes);
  options.log_rate_bytes = static_cast<uint64_t>(config_.log.max_bytes_per_second);
  options.exec_drain_ms = static_cast<int>(config_.exec.drain_ms);
  options.cdi_dirs = config_.cdi_dirs;
  options.version = CRISP_VERSION;
  ServiceParts parts{&pods_,        journal_.get(), &janitor_, &exits_,
                     images_.get(), network_.get(), &calls_,   {}};
  parts.urls = &urls_;
  parts.runtime.cgroups = cgroups_.get();
  parts.runtime.keeper = keeper_.get();
  parts.runtime.side = &side_;
  parts.runtime.left_groups = left_groups_.get();
  parts.runtime.launch_ms = static_cast<int>(config_.launch.timeout_ms);
  parts.runtime.oci_dir = config_.state + "/oci";
  ASSIGN_OR_RETURN(handlers_, Handlers::Make(config_.handlers, parts.runtime.oci_dir));
  parts.handlers = &handlers_;
  parts.runtime.features = features_;
  parts.runtime.containers_dir = containers_dir_;
  parts.runtime.mount_points_dir = MountPointsDir();
  // From 6.15 on an exec reads its status from its own pidfd: three threads fewer to wake.
  if (!features_.pidfd_exit_info) {
    parts.runtime.wait_exit = [this](const std::string& id, int timeout_ms) {
      return exits_.TakeExec(id, timeout_ms);
    };
  }

  const int64_t start = MonotonicNanos();
  ASSIGN_OR_RETURN(const RecoveryReport report, Recover(replay, parts, config_.state));
  LogInfo("recovered", {{"pods", absl::StrCat(report.pods)},
                        {"containers", absl::StrCat(report.containers)},
                        {"exited_unseen", absl::StrCat(report.exited_unseen)},
                        {"swept", absl::StrCat(report.swept)},
                        {"ms", absl::StrCat((MonotonicNanos() - start) / 1'000'000)}});
  runtime_service_ = std::make_unique<RuntimeService>(options, parts);
  image_adapter_ = std::make_unique<ImageAdapter>(images_.get());
  stream_backend_ =
      std::make_unique<ContainerStreams>(StreamOptionsOf(config_), &pods_, parts.runtime);
  exits_.Start([this](const keeper::ExitEvent& event) { return runtime_service_->OnExit(event); });
  return absl::OkStatus();
}

Status Daemon::Serve() {
  if (stream_backend_ != nullptr) {
    streaming::ServerOptions streams;
    streams.address = config_.streaming.address;
    streams.tls = {config_.streaming.tls_certificate, config_.streaming.tls_key,
                   config_.streaming.tls_client_ca};
    streams.drain_ms = static_cast<int>(config_.exec.drain_ms);
    ASSIGN_OR_RETURN(stream_server_,
                     streaming::StreamServer::Start(streams, &urls_, stream_backend_.get()));
  }
  RpcServerOptions rpc;
  rpc.socket_path = config_.socket;
  rpc.calls = &calls_;
  ASSIGN_OR_RETURN(rpc_server_,
                   RpcServer::Start(rpc, runtime_service_.get(), image_adapter_.get()));
  DebugServerOptions debug;
  debug.socket_path = config_.debug_socket;
  debug.metrics_address = config_.metrics_address;
  debug.pages = DebugPages(pods_, *images_, calls_, [this] { runtime_service_->RefreshMetrics(); });
  ASSIGN_OR_RETURN(debug_server_, DebugServer::Start(std::move(debug)));
  return absl::OkStatus();
}

void Daemon::Stop(absl::Time deadline) {
  if (runtime_service_) runtime_service_->StopStreams();
  if (rpc_server_) rpc_server_->Shutdown(deadline);
  stream_server_ = nullptr;
  debug_server_ = nullptr;
}

}  // namespace crisp::cri
