#include "runtime/oci/bundle.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "runtime/container/bind_mount.h"
#include "runtime/sys/mount.h"

namespace crisp::runtime {
namespace {

constexpr const char* kMounts[] = {"rootfs", "shm", "files"};
constexpr size_t kMaxCommand = 64, kMaxFile = 1 << 20;

Status Detach(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return absl::OkStatus();
  if (errno == EINVAL || errno == ENOENT) return absl::OkStatus();  // not mounted
  return ErrnoStatus(errno, "unmount ", path);
}

}  // namespace

Status BundleMounts::AttachOne(int mount, std::string path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoStatus(errno, "make ", path);
  if (sys::MoveMount(mount, "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return ErrnoStatus(errno, "attach ", path);
  paths_.push_back(std::move(path));
  return absl::OkStatus();
}

StatusOr<BundleMounts> BundleMounts::Attach(const std::string& dir, PreparedContainer& prepared,
                                            const PodSandbox& pod) {
  BundleMounts mounts;
  RETURN_IF_ERROR(mounts.AttachOne(prepared.rootfs.get(), dir + "/rootfs"));
  if (pod.shm.valid()) {
    ASSIGN_OR_RETURN(const UniqueFd shm, CloneMount(pod.shm.get(), "", false));
    RETURN_IF_ERROR(mounts.AttachOne(shm.get(), dir + "/shm"));
  }
  ASSIGN_OR_RETURN(const UniqueFd files, CloneMount(pod.files.get(), "", false));
  RETURN_IF_ERROR(mounts.AttachOne(files.get(), dir + "/files"));
  return mounts;
}

BundleMounts::~BundleMounts() {
  for (const std::string& path : paths_) (void)Detach(path);
}

Status WriteBundleFile(const std::string& dir, const std::string& name, const std::string& text) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenDir(dir));
  return Annotate(WriteFileAtomic(fd.get(), name, text, 0600, false), "write ", dir, "/", name);
}

Status MakeBundle(const std::string& dir, const std::vector<std::string>& command) {
  RETURN_IF_ERROR(RemoveBundle(dir));
  RETURN_IF_ERROR(MakeDirs(dir, 0700));
  return WriteBundleFile(dir, "runtime.json", Json(command).dump());
}

StatusOr<std::vector<std::string>> CommandOfBundle(const std::string& dir) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(dir + "/runtime.json", kMaxFile));
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  std::vector<std::string> command;
  if (!json.is_array() || json.empty() || json.size() > kMaxCommand)
    return absl::DataLossError(absl::StrCat(dir, "/runtime.json holds no command"));
  for (const Json& word : json) {
    if (!word.is_string()) return absl::DataLossError(dir + "/runtime.json holds no command");
    command.push_back(word.get<std::string>());
  }
  return command;
}

Status RemoveBundle(const std::string& dir) {
  for (const char* mount : kMounts) RETURN_IF_ERROR(Detach(absl::StrCat(dir, "/", mount)));
  const size_t slash = dir.rfind('/');
  const auto parent = OpenDir(dir.substr(0, slash));
  if (absl::IsNotFound(parent.status())) return absl::OkStatus();
  RETURN_IF_ERROR(parent.status());
  return RemoveTreeAt(parent->get(), dir.substr(slash + 1));
}

std::string LastError(const std::string& log_text) {
  std::string last;
  for (const absl::string_view line : absl::StrSplit(log_text, '\n', absl::SkipEmpty())) {
    const auto entry = ParseJson(line);
    if (!entry.ok() || JsonString(*entry, "level") != "error") continue;
    last = JsonString(*entry, "msg");
  }
  return last.substr(0, 4096);
}

}  // namespace crisp::runtime
