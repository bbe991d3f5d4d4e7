#include "runtime/container/mount_points.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/base/files.h"

namespace crisp::runtime {

Status MakeMountPoints(const std::string& dir) {
  RETURN_IF_ERROR(MakeDirs(dir, 0755));
  ASSIGN_OR_RETURN(const UniqueFd root, OpenDir(dir));
  for (const char* name : {"dev", "etc", "proc", "sys"}) {
    if (mkdirat(root.get(), name, 0755) != 0 && errno != EEXIST)
      return ErrnoStatus(errno, "make directory ", dir, "/", name);
  }
  for (const char* name : {"etc/hostname", "etc/hosts", "etc/resolv.conf"}) {
    if (mknodat(root.get(), name, S_IFREG | 0644, 0) != 0 && errno != EEXIST)
      return ErrnoStatus(errno, "make ", dir, "/", name);
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
