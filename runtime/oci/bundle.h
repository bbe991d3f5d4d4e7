// The folder that an OCI runtime is pointed to: <state>/oci/<id>/
//   config.json         written for one start
//   runtime.json        which program made the container: whoever removes it needs no configuration
//   rootfs, shm, files  mounts, there from before `create` until it has returned
//   pid, log            written by the runtime
#pragma once

#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/container/container_runtime.h"

namespace crisp::runtime {

// Detaches the mounts at the end of its scope: a started container has its own view of them, and
// the kubelet unmounts volumes right after the exit.
class BundleMounts {
 public:
  // Attaches the prepared root, and copies of the pod's /dev/shm and /etc files.
  static StatusOr<BundleMounts> Attach(const std::string& dir, PreparedContainer& prepared,
                                       const PodSandbox& pod);
  BundleMounts(BundleMounts&&) = default;
  BundleMounts& operator=(BundleMounts&&) = delete;
  ~BundleMounts();

 private:
  BundleMounts() = default;
  Status AttachOne(int mount, std::string path);

  std::vector<std::string> paths_;
};

// Folder and runtime.json; what an earlier start left of them is replaced.
Status MakeBundle(const std::string& dir, const std::vector<std::string>& command);
// The command of runtime.json. NOT_FOUND: there is no such bundle.
StatusOr<std::vector<std::string>> CommandOfBundle(const std::string& dir);
// Mounts that a daemon left behind when it died are detached first.
Status RemoveBundle(const std::string& dir);

Status WriteBundleFile(const std::string& dir, const std::string& name, const std::string& text);

// "msg" of the last error in the runtime's log (JSON lines), "" if there is none.
std::string LastError(const std::string& log_text);

}  // namespace crisp::runtime
