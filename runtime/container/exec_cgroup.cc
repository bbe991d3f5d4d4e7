#include "runtime/container/exec_cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/files.h"
#include "runtime/base/id.h"

namespace crisp::runtime {

StatusOr<ExecCgroup> ExecCgroup::Make(const Cgroup& container, bool cgroup_kill, LeftGroups* left) {
  ExecCgroup group(container.v2_fd());
  if (group.parent_ < 0 || !cgroup_kill) return group;
  const std::string name = "exec-" + RandomHex(8);
  if (mkdirat(group.parent_, name.c_str(), 0755) != 0) {
    return ErrnoStatus(errno, "make cgroup ", container.path(), "/", name);
  }
  group.left_ = left;
  group.name_ = name;  // from here on it is removed
  group.dir_.Reset(openat(group.parent_, name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (group.dir_.valid()) return group;
  return ErrnoStatus(errno, "open cgroup ", container.path(), "/", name);
}

ExecCgroup::~ExecCgroup() {
  if (name_.empty() || unlinkat(parent_, name_.c_str(), AT_REMOVEDIR) == 0) return;
  if (errno == EBUSY && left_ != nullptr && dir_.valid()) left_->RemoveWhenEmpty(dir_.get());
}

bool ExecCgroup::Kill() const {
  return dir_.valid() && WriteControlFile(dir_.get(), "cgroup.kill", "1").ok();
}

}  // namespace crisp::runtime
