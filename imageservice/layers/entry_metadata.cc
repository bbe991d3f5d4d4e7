#include "imageservice/layers/entry_metadata.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace crisp::image {
namespace {

// struct vfs_cap_data, revisions 2 and 3 (capabilities(7), "File capabilities").
bool ValidCapability(const std::string& value) {
  if (value.size() < 4) return false;
  const unsigned revision = static_cast<unsigned char>(value[3]);
  return (revision == 2 && value.size() == 20) || (revision == 3 && value.size() == 24);
}

// An attribute of the user namespace may not fit the file's type or the file system: as other
// unpackers do, it is left out then.
bool MayBeLeftOut(const std::string& name, int err) {
  return name.compare(0, 5, "user.") == 0 && (err == ENOTSUP || err == EPERM);
}

Outcome XattrFailed(const std::string& name, int err) {
  if (MayBeLeftOut(name, err)) return {};
  return Outcome::System(err, "set xattr " + name);
}

}  // namespace

bool AllowedXattr(const std::string& name, const std::string& value) {
  if (name == "security.capability") return ValidCapability(value);
  return name.compare(0, 5, "user.") == 0 && name.compare(0, 13, "user.overlay.") != 0;
}

Outcome SetFileMetadata(int file, const TarEntry& entry) {
  if (fchown(file, entry.uid, entry.gid) != 0) return Outcome::System(errno, "chown");
  if (fchmod(file, entry.mode) != 0) return Outcome::System(errno, "chmod");
  for (const auto& [name, value] : entry.xattrs) {
    if (!AllowedXattr(name, value)) continue;
    if (fsetxattr(file, name.c_str(), value.data(), value.size(), 0) != 0) {
      OUTCOME_TRY(XattrFailed(name, errno));
    }
  }
  const timespec times[2] = {{entry.mtime, entry.mtime_nanos}, {entry.mtime, entry.mtime_nanos}};
  if (futimens(file, times) != 0) return Outcome::System(errno, "set time");
  return {};
}

Outcome SetNamedMetadata(int directory, const char* name, const TarEntry& entry, bool with_mode) {
  if (fchownat(directory, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return Outcome::System(errno, "chown");
  }
  if (with_mode && fchmodat(directory, name, entry.mode, 0) != 0) {
    return Outcome::System(errno, "chmod");
  }
  // There is no lsetxattrat before 6.13: by name from the directory itself.
  if (!entry.xattrs.empty() && fchdir(directory) != 0) return Outcome::System(errno, "chdir");
  for (const auto& [key, value] : entry.xattrs) {
    if (!AllowedXattr(key, value)) continue;
    if (lsetxattr(name, key.c_str(), value.data(), value.size(), 0) != 0) {
      OUTCOME_TRY(XattrFailed(key, errno));
    }
  }
  const timespec times[2] = {{entry.mtime, entry.mtime_nanos}, {entry.mtime, entry.mtime_nanos}};
  if (utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return Outcome::System(errno, "set time");
  }
  return {};
}

}  // namespace crisp::image
