#include "runtime/sandbox/sysctls.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "runtime/sandbox/pod_sandbox.h"
#include "runtime/sys/mount.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

constexpr char kField[] = "linux.sysctls";
constexpr size_t kMaxKey = 256, kMaxValue = 4096;

// As sysctl(8): the first separator decides; with '/' a '.' is part of a name (eth0.100).
std::string PathOf(absl::string_view key) {
  std::string path(key);
  const size_t first = path.find_first_of("./");
  if (first == std::string::npos || path[first] == '/') return path;
  for (char& c : path) {
    if (c == '.') {
      c = '/';
    } else if (c == '/') {
      c = '.';
    }
  }
  return path;
}

bool CleanPath(const std::string& path) {
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

bool OddCharacter(char c) {
  return !absl::ascii_isalnum(c) && c != '.' && c != '/' && c != '_' && c != '-';
}

bool NeedsIpc(const std::string& path) {
  static const char* const kNames[] = {
      "kernel/sem",         "kernel/shmall",          "kernel/shmmax",
      "kernel/shmmni",      "kernel/shm_rmid_forced", "kernel/msgmax",
      "kernel/msgmnb",      "kernel/msgmni",          "kernel/msg_next_id",
      "kernel/sem_next_id", "kernel/shm_next_id"};
  return absl::StartsWith(path, "fs/mqueue/") ||
         std::find(std::begin(kNames), std::end(kNames), path) != std::end(kNames);
}

Status WriteOne(int root, const std::string& key, const std::string& value) {
  const UniqueFd file(sys::Openat2(root, PathOf(key).c_str(), O_WRONLY | O_CLOEXEC,
                                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (!file.valid()) return ErrnoStatus(errno, "open sysctl ", key);
  const ssize_t written = sys::Retry([&] { return write(file.get(), value.data(), value.size()); });
  if (written < 0) return ErrnoStatus(errno, "write sysctl ", key, "=", value);
  return absl::OkStatus();
}

}  // namespace

Status ValidateSysctl(const std::string& key, const std::string& value, bool host_network,
                      bool host_ipc) {
  if (key.empty() || key.size() > kMaxKey) return InvalidField(kField, key, "bad length");
  if (std::any_of(key.begin(), key.end(), OddCharacter)) {
    return InvalidField(kField, key, "only letters, digits and . / _ - are allowed");
  }
  const std::string path = PathOf(key);
  if (!CleanPath(path)) return InvalidField(kField, key, "empty or relative component");
  if (value.size() > kMaxValue || !std::all_of(value.begin(), value.end(), [](char c) {
        return absl::ascii_isprint(c) || c == '\t';
      })) {
    return InvalidField(kField, key, "the value must be printable, 4096 bytes at most");
  }
  if (absl::StartsWith(path, "net/")) {
    if (!host_network) return absl::OkStatus();
    return InvalidField(kField, key, "would change the host: the pod uses the host's network");
  }
  if (NeedsIpc(path)) {
    if (!host_ipc) return absl::OkStatus();
    return InvalidField(kField, key,
                        "would change the host: the pod uses the host's IPC namespace");
  }
  return InvalidField(kField, key, "is not a sysctl of a pod's namespaces");
}

Status WriteSysctls(const std::map<std::string, std::string>& sysctls) {
  if (sysctls.empty()) return absl::OkStatus();
  const UniqueFd root(open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct statfs info;
  if (!root.valid() || fstatfs(root.get(), &info) != 0) return ErrnoStatus(errno, "open /proc/sys");
  if (info.f_type != PROC_SUPER_MAGIC) return absl::InternalError("/proc/sys is not procfs");
  for (const auto& [key, value] : sysctls) RETURN_IF_ERROR(WriteOne(root.get(), key, value));
  return absl::OkStatus();
}

}  // namespace crisp::runtime
