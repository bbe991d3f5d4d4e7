// A pod and its containers: the only place where their state lives. Value parts are copied out for
// queries. Lock order: PodStore (index only) -> Pod::mu -> Container::mu -> leaf locks (journal).
// No lock is held over I/O, a wait for a process, the network or the keeper; journal appends
// (tmpfs, 1 us) are the exception that keeps records in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cri/api/cri.h"
#include "cri/pods/lifecycle.h"
#include "cri/pods/records.pb.h"
#include "runtime/container/container_runtime.h"
#include "runtime/sandbox/pod_sandbox.h"
#include "runtime/stats/sources.h"

namespace crisp::cri {

// Encoded CRI messages of what never changes of an object, made when somebody first asks
// (cri/service/encoded_objects.h). Guarded by the object's lock.
struct EncodedParts {
  std::string list_item, status, stats_head;
};

struct Container {
  // Fixed at creation.
  std::string id, pod_id, name;  // name: the claimed one, see ContainerName()
  v1::ContainerConfig config;
  std::string log_directory, log_path;  // the pod's directory; the whole path, "" = no log
  std::shared_ptr<const runtime::ContainerSpec> spec;
  runtime::Identity identity;
  records::Image image;
  std::vector<records::Image> volume_images;  // of the image mounts, in their order
  std::string cdi_edits;                      // JSON, "" without CDI devices
  std::string seccomp_source;                 // text of the user's own profile, "" = none
  int64_t created_at = 0;
  int stop_signal = 15;

  // Another container has joined its pid namespace (TARGET), and stays if it likes.
  std::atomic<bool> joined = false;

  mutable std::mutex mu;
  std::condition_variable changed;  // at each change of `state`
  ContainerState state = ContainerState::kCreated;
  std::unique_ptr<runtime::PreparedContainer>
      prepared;                             // Created only; null after a restart of the daemon
  std::shared_ptr<runtime::Cgroup> cgroup;  // held open: its OOM counter is read before it goes
  std::shared_ptr<UniqueFd> pidfd;
  UniqueFd stdin_write;
  int64_t started_at = 0, finished_at = 0;
  pid_t pid = 0;
  int exit_code = 0;
  std::string reason, message;
  bool stop_sent = false;
  std::optional<keeper::ExitEvent> early_exit;  // came while Starting
  bool update_running = false;  // a call writes to the cgroup: a start and other updates wait
  bool updated = false;         // `resources` are no longer the config's
  v1::LinuxContainerResources resources;  // in force
  // `spec` with updated resources, null before the first update.
  std::shared_ptr<const runtime::ContainerSpec> updated_spec;
  std::shared_ptr<void> image_pin;
  uint64_t log_dropped = 0;  // of the keeper's count, what the metric has already
  std::shared_ptr<runtime::ContainerSource> stats;  // while Running, once somebody has asked
  mutable EncodedParts encoded;
};

struct Pod {
  std::string id, name;  // name: the claimed one, see PodName()
  v1::PodSandboxConfig config;
  std::string runtime_handler;
  int64_t created_at = 0;
  std::vector<std::string> ips;
  std::string network_record;
  std::shared_ptr<const std::string> selinux_level;  // its own MCS pair; null: none

  mutable std::mutex mu;
  std::condition_variable changed;
  PodState state = PodState::kReady;
  bool stop_running = false;                           // Stopping: a call is at it; others join
  std::shared_ptr<const runtime::PodSandbox> sandbox;  // null once stopped
  std::shared_ptr<runtime::Cgroup> pause_cgroup;       // of sandbox->pause
  std::unique_ptr<SideStep> group;                     // makes the pod's cgroup parent
  std::string made_parent;                             // CgroupHost::MissingParent before that
  bool updated = false;                                // these are no longer the config's:
  v1::LinuxContainerResources overhead, resources;
  std::vector<std::shared_ptr<Container>> containers;
  std::shared_ptr<runtime::PodSource> stats;  // while Ready, once somebody has asked
  mutable EncodedParts encoded;
};

// The names that make a retry recognisable.
std::string PodName(const v1::PodSandboxMetadata& metadata);
std::string ContainerName(const std::string& pod_id, const v1::ContainerMetadata& metadata);

// What the container is (or will be) run with. Its lock is held by the caller.
std::shared_ptr<const runtime::ContainerSpec> SpecInForce(const Container& container);

// Journal records of the current state. The object's lock is held by the caller.
records::Record RecordOf(const Pod& pod);
records::Record RecordOf(const Container& container);

}  // namespace crisp::cri
