// The log file of a container: opened by the daemon below the pod's log directory, written by the
// keeper.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_split.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/files.h"
#include "runtime/base/metrics.h"

namespace crisp::cri {
namespace {

// Walks to the folder of the file, making what is missing; no component may be a link (a pod that
// can write its log directory through a hostPath must not lead us elsewhere).
StatusOr<UniqueFd> OpenLogFolder(const std::string& log_directory,
                                 const std::vector<std::string>& folders) {
  RETURN_IF_ERROR(MakeDirs(log_directory, 0755));
  ASSIGN_OR_RETURN(UniqueFd dir, OpenDir(log_directory));
  for (const std::string& folder : folders) {
    if (mkdirat(dir.get(), folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, "mkdir ", folder, " in ", log_directory);
    }
    UniqueFd next(
        openat(dir.get(), folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) return ErrnoStatus(errno, "open folder ", folder, " in ", log_directory);
    dir = std::move(next);
  }
  return dir;
}

Status CheckLogFile(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat log ", path);
  if (!S_ISREG(info.st_mode)) return InvalidField("log_path", path, "not a regular file");
  if (info.st_nlink != 1) return InvalidField("log_path", path, "has more than one link");
  return absl::OkStatus();
}

}  // namespace

StatusOr<OpenedLog> OpenLog(const std::string& log_directory, const std::string& log_path) {
  if (log_directory.empty() || log_path.empty()) return OpenedLog{};
  std::vector<std::string> parts = absl::StrSplit(log_path, '/', absl::SkipEmpty());
  if (parts.empty()) return InvalidField("log_path", log_path, "names no file");
  const std::string file = parts.back();
  parts.pop_back();
  ASSIGN_OR_RETURN(const UniqueFd dir, OpenLogFolder(log_directory, parts));
  OpenedLog log;
  // O_NONBLOCK: a FIFO in the way must not stop us. Not O_APPEND: the keeper writes at recorded
  // offsets.
  log.fd = UniqueFd(openat(dir.get(), file.c_str(),
                           O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640));
  if (!log.fd.valid()) return ErrnoStatus(errno, "open log ", log_directory, "/", log_path);
  RETURN_IF_ERROR(CheckLogFile(log.fd.get(), log_path));
  const off_t end = lseek(log.fd.get(), 0, SEEK_END);
  if (end < 0) return ErrnoStatus(errno, "find the end of log ", log_path);
  log.offset = static_cast<uint64_t>(end);
  return log;
}

void RuntimeService::CountDroppedLog(Container& container) {
  const uint64_t dropped = parts_.runtime.keeper->DroppedLogBytes(container.id);
  std::lock_guard<std::mutex> lock(container.mu);
  if (dropped <= container.log_dropped) return;
  CountMetric("crisp_container_log_dropped_bytes_total", "",
              static_cast<int64_t>(dropped - container.log_dropped));
  container.log_dropped = dropped;
}

void RuntimeService::RefreshMetrics() {
  if (options_.log_file_bytes == 0 && options_.log_rate_bytes == 0) return;
  for (const auto& container : parts_.pods->Containers()) CountDroppedLog(*container);
}

Status RuntimeService::ReopenContainerLog(const v1::ReopenContainerLogRequest& request,
                                          v1::ReopenContainerLogResponse*, CallContext& call) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container,
                   parts_.pods->FindContainer(request.container_id()));
  call.set_object(container->id);
  {
    std::lock_guard<std::mutex> lock(container->mu);
    if (container->state != ContainerState::kRunning) {
      return absl::FailedPreconditionError(absl::StrCat("reopen log of container ", container->id,
                                                        ": it is ", Name(container->state)));
    }
  }
  if (container->log_path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const OpenedLog log,
                   OpenLog(container->log_directory, container->config.log_path()));
  return Annotate(parts_.runtime.keeper->SetLog(container->id, log.fd.get(), log.offset),
                  "reopen log of container ", container->id);
}

}  // namespace crisp::cri
