// What to run, without a CRI type in it: the meeting point of cri/translate and runtime/container.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/cgroup/cgroup.h"
#include "runtime/sandbox/idmap.h"
#include "runtime/seccomp/filter.h"
#include "runtime/security/capabilities.h"
#include "runtime/security/identity.h"

namespace crisp::runtime {

enum class Propagation { kPrivate, kSlave, kShared };

struct BindMount {
  std::string
      host_path;  // followed if a symlink; a missing one is made (directory, 0755), as the peers do
  bool must_exist = false;  // then a missing one is an error
  std::string target;       // absolute, cleaned; see CheckMountTarget
  bool readonly = false;
  bool recursive_readonly = false;
  Propagation propagation = Propagation::kPrivate;
  bool noexec = false, nodev = false, nosuid = false;
  IdMap id_map;  // empty: ids as they are
  // An image instead of a host path: its layers, top first, mounted read-only from `sub_path`.
  std::vector<std::string> image_layers;
  std::string image_sub_path;  // relative, cleaned; "" = the image's root
  std::string relabel;  // SELinux label for the host path and all below it; "": left as it is
};

struct DeviceNode {
  std::string path;  // in the container
  char type;         // 'c' or 'b'
  uint32_t major, minor, mode, uid, gid;
};

struct Rlimit {
  int resource;  // RLIMIT_*
  uint64_t soft, hard;
};

enum class NamespaceMode { kPod, kContainer, kNode, kTarget };

struct ContainerSpec {
  std::string id;  // 64 hex
  std::string sandbox_id;
  std::vector<std::string> args;  // never empty
  std::vector<std::string> env;   // complete, HOME excepted: added from the identity when missing
  std::string cwd = "/";          // made if missing
  UserRequest user;
  CapSets caps;
  bool no_new_privs = false;
  bool readonly_rootfs = false;
  bool privileged = false;
  bool tty = false;
  bool stdin_open = false, stdin_once = false;
  NamespaceMode pid = NamespaceMode::kContainer;
  std::string pid_target;  // kTarget: the id of the container whose pid namespace is joined
  bool joined = false;     // kContainer: somebody has joined its pid namespace
  bool host_network = false, host_ipc = false;
  IdMap id_map;  // not empty: in the pod's user namespace
  std::vector<std::string> masked_paths, readonly_paths;
  std::vector<BindMount>
      mounts;  // sorted by depth; /etc/hosts etc. among them replace the pod's files
  std::vector<DeviceNode> devices;  // beyond the six default nodes
  std::vector<DeviceRule> device_rules;
  std::vector<Rlimit> rlimits;
  int oom_score_adj = 0;
  SeccompFilter seccomp;                   // null: unconfined
  std::string apparmor_profile;            // "": none
  std::string process_label, mount_label;  // SELinux; "": none
  std::string cgroup_parent;
  CgroupLimits limits;
  std::vector<std::string> lower_dirs;  // absolute, top layer first, at least one
};

}  // namespace crisp::runtime
