// Owner of every long-lived object of crispd; its members are in the order in which they are made,
// and end in reverse.
#pragma once

#include <memory>
#include <string>

#include "cri/api/rpc_server.h"
#include "cri/config/config.h"
#include "cri/debug/debug_server.h"
#include "cri/service/image_adapter.h"
#include "cri/service/runtime_service.h"
#include "cri/streaming/server.h"
#include "cri/streaming/urls.h"

namespace crisp::cri {

class Daemon {
 public:
  // Everything up to answering on the socket. A failure leaves nothing behind but the directories
  // and the keeper, which the next start finds again.
  static StatusOr<std::unique_ptr<Daemon>> Start(const Config& config,
                                                 const std::string& program_dir);

  ~Daemon() { exits_.Stop(); }  // its thread uses the services, which end before it

  // No new calls; running ones get until `deadline`. Containers are left running: the keeper is
  // their parent.
  void Stop(absl::Time deadline);

 private:
  explicit Daemon(const Config& config) : config_(config) {}

  std::string MountPointsDir() const { return config_.root + "/mountpoints"; }
  Status MakeDirectories();
  Status OpenKernel(const std::string& program_dir);
  Status OpenImages(const std::string& program_dir);
  Status OpenState(const std::string& program_dir, JournalReplay* replay);
  Status OpenNetwork();
  Status BuildServices(const JournalReplay& replay);
  Status Serve();

  Config config_;
  std::string containers_dir_;
  KernelFeatures features_;
  std::unique_ptr<runtime::CgroupHost> cgroups_;
  SideThread side_;
  std::unique_ptr<runtime::LeftGroups> left_groups_;
  std::unique_ptr<image::ImageService> images_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<cni::PodNetwork> network_;
  ExitBoard exits_;
  std::unique_ptr<keeper::KeeperClient> keeper_;
  Handlers handlers_;
  PodStore pods_;
  CallLog calls_;
  Janitor janitor_;
  streaming::StreamUrls urls_;
  std::unique_ptr<RuntimeService> runtime_service_;
  std::unique_ptr<ImageAdapter> image_adapter_;
  std::unique_ptr<streaming::StreamBackend> stream_backend_;  // null: Exec and the like are refused
  std::unique_ptr<streaming::StreamServer> stream_server_;
  std::unique_ptr<RpcServer> rpc_server_;
  std::unique_ptr<DebugServer> debug_server_;
};

}  // namespace crisp::cri
