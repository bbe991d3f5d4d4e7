// What a pod is to the kernel: namespaces without a process, /dev/shm, and the three files of /etc.
// No pause process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/base/kernel_features.h"
#include "runtime/base/status.h"
#include "runtime/sandbox/idmap.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

struct PodSpec {
  std::string id;
  std::string hostname;  // already the node's name for host network
  bool host_network =
      false;              // then `netns` of MakePodSandbox is invalid and no UTS namespace is made
  bool host_ipc = false;  // then no IPC namespace and no shm of its own
  bool shared_pid =
      false;     // the containers share a pid namespace: the caller starts its first process
  IdMap id_map;  // not empty: the pod has a user namespace
  std::map<std::string, std::string> sysctls;  // dotted names, already validated
  std::string hosts, resolv_conf;              // file contents; hostname's file is hostname + "\n"
  uint64_t shm_bytes = 64 << 20;
  std::string mount_label;  // SELinux label of both tmpfs; "": none
};

// Owns fds only: destroying it harms no live pod while the keeper holds dups.
struct PodSandbox {
  UniqueFd net, ipc, uts;  // namespace fds; invalid = the host's
  UniqueFd user;           // owns those three; invalid = the host's
  UniqueFd shm;            // mount fd (tmpfs 1777) of /dev/shm; invalid = the host's
  UniqueFd files;          // mount fd of a 64 KiB tmpfs with hosts, resolv.conf, hostname
  // pidfd of the first process of the pid namespace that the containers share (StartPause);
  // invalid: they share none.
  UniqueFd pause;
};

// Makes all but what the caller hands in: the network namespace (from cni), or with a user
// namespace all that MakePodNamespaces made (its net once more set up by cni). `state_dir`: used
// only where the kernel cannot clone detached mounts: the two tmpfs are then attached at
// <state_dir>/sandboxes/<id>/{shm,files}.
StatusOr<PodSandbox> MakePodSandbox(const PodSpec& spec, PodNamespaces given,
                                    const KernelFeatures& features, const std::string& state_dir);

// Removes what MakePodSandbox left outside of fds (the attached tmpfs of old kernels). Idempotent.
Status RemovePodSandboxFiles(const std::string& id, const std::string& state_dir);

// Allow list of namespaced sysctls: kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* need an own
// IPC namespace, net.* an own network namespace. INVALID_ARGUMENT naming key and reason otherwise
// (also for "..", odd characters, long values).
Status ValidateSysctl(const std::string& key, const std::string& value, bool host_network,
                      bool host_ipc);

// /etc/resolv.conf text of CRI's dns_config (servers, searches, options); newlines in a value are
// refused.
StatusOr<std::string> MakeResolvConf(const std::vector<std::string>& servers,
                                     const std::vector<std::string>& searches,
                                     const std::vector<std::string>& options);
// The usual localhost lines and "ip hostname".
std::string MakeHostsFile(const std::vector<std::string>& ips, const std::string& hostname);

}  // namespace crisp::runtime
