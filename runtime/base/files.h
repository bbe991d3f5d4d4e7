// Small file helpers relative to a directory fd. Only for paths that crisp itself owns (state,
// configuration, /proc, cgroupfs): a path inside a rootfs goes through sys::OpenInRoot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp {

// At most `limit` bytes; a longer file is RESOURCE_EXHAUSTED.
StatusOr<std::string> ReadFileAt(int dirfd, const std::string& path, size_t limit = 16 << 20);
StatusOr<std::string> ReadFile(const std::string& path, size_t limit = 16 << 20);

// Writes in place with one write(2) (sysctl and cgroup files want exactly one).
Status WriteControlFile(int dirfd, const std::string& path, absl::string_view text);

// Writes a temporary file beside it and renames; `sync` adds fsync of file and directory.
Status WriteFileAtomic(int dirfd, const std::string& name, absl::string_view text, mode_t mode,
                       bool sync);

Status WriteAll(int fd, absl::string_view bytes);

// mkdir -p of an absolute path of ours; existing directories are left as they are.
Status MakeDirs(const std::string& path, mode_t mode);

StatusOr<UniqueFd> OpenDir(const std::string& path);

// flock(2), exclusive. Who was killed while it started a child leaves its lock with that child for
// the moment before the child's exec closes the descriptor: so a held lock is asked for again for
// two seconds. Then EWOULDBLOCK.
Status LockExclusive(int fd);

// Removes a tree without following links or crossing into another mount; a missing one is fine.
Status RemoveTreeAt(int dirfd, const std::string& name);

// Names in a directory, without "." and "..".
StatusOr<std::vector<std::string>> ListDir(int dirfd, const std::string& path = ".");

// A sealed or plain memfd with the given content.
StatusOr<UniqueFd> MakeMemfd(const std::string& name, absl::string_view content, bool seal);

}  // namespace crisp
