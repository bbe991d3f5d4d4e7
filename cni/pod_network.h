// A pod's network: an own network namespace with eth0, addresses and routes. Results follow the CNI
// specification 1.1.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

struct PortMapping {
  std::string protocol;  // "tcp", "udp", "sctp"
  int32_t container_port = 0, host_port = 0;
  std::string host_ip;
};

struct PodIdentity {
  std::string sandbox_id, name, ns, uid;
  std::vector<PortMapping> ports;
  // Borrowed: the pod's network namespace if it exists already (one that its user namespace owns);
  // -1: one is made, or comes from the pool.
  int netns = -1;
};

struct NetworkOptions {
  std::vector<std::string> conf_dirs = {"/etc/cni/net.d"};
  std::vector<std::string> bin_dirs = {"/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"};
  bool builtin = true;  // no conflist: the built-in one (bridge cni0, 10.85.0.0/16, masquerade)
  std::string builtin_subnet = "10.85.0.0/16";
  std::string builtin_bridge = "cni0";
  std::string state_dir;           // <state>/network: netns pins of external plugins, results
  int pool_size = 8;               // ready-made {netns, veth, IP}; 0 = none
  int plugin_timeout_ms = 60'000;  // of one call of an external plugin
  int plugin_retry_ms = 1'000;     // first pause after a DEL that failed; doubles up to a minute
};

struct Lease {
  UniqueFd netns;
  std::vector<std::string> ips;  // first is the pod IP, no prefix length
  std::string record;            // opaque, journaled: what Release and Adopt need after a restart
};

struct NetworkStatus {
  bool ready = false;
  std::string reason, message;  // "NetworkPluginNotReady", "Network plugin returns error: cni
                                // plugin not initialized"
  std::string conflist_json;    // what is in force, for verbose status
  size_t pool_missing = 0;      // networks that are still to be made ready
};

class PodNetwork {
 public:
  virtual ~PodNetwork() = default;
  static StatusOr<std::unique_ptr<PodNetwork>> Open(const NetworkOptions& options);

  // A namespace with its network complete. On failure nothing is left behind (no link, no address,
  // no nft element).
  virtual StatusOr<Lease> Add(const PodIdentity& pod) = 0;
  // A live pod found in the journal after a restart: its addresses are in use. Before the first
  // Add.
  virtual Status Adopt(const std::string& sandbox_id, const std::string& record) = 0;
  // Ends the pod's network: the address is fenced at once and reusable when the link is gone; slow
  // work goes on in the background. Never waits for the kernel (deleting a veth costs 30 ms).
  // Idempotent.
  virtual Status Release(const std::string& sandbox_id, const std::string& record) = 0;
  // Called once after all Adopt: removes links, addresses and elements that belong to no adopted
  // pod.
  virtual Status Sweep() = 0;
  // Rescans the conflist directories; cheap.
  virtual NetworkStatus CurrentStatus() = 0;
  // Blocks until background deletions are done or the time is over (tests, shutdown).
  virtual bool Quiesce(int timeout_ms) = 0;
};

}  // namespace crisp::cni
