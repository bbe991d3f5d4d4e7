#include "runtime/security/user_database.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "runtime/sys/fd.h"
#include "runtime/sys/mount.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

using Fields = std::vector<absl::string_view>;

// Calls `visit(fields)` per line until it returns true.
template <typename Visit>
Status ScanLines(absl::string_view text, Visit visit) {
  if (text.size() > kMaxDatabaseBytes) {
    return absl::ResourceExhaustedError("user database: larger than 1 MiB");
  }
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.size() > kMaxDatabaseLine) {
      return absl::ResourceExhaustedError("user database: a line is longer than 64 KiB");
    }
    if (line.empty() || line[0] == '#' || line.find('\0') != absl::string_view::npos) continue;
    // Eight pieces are one more than passwd(5) has: more colons than that are malformed anyway.
    if (visit(Fields(absl::StrSplit(line, absl::MaxSplits(':', 7))))) break;
  }
  return absl::OkStatus();
}

std::optional<PasswdEntry> ParsePasswd(const Fields& fields) {
  if (fields.size() != 7 || fields[0].empty()) return std::nullopt;
  const std::optional<uint32_t> uid = ParseId(fields[2]), gid = ParseId(fields[3]);
  if (!uid || !gid) return std::nullopt;
  return PasswdEntry{std::string(fields[0]), *uid, *gid, std::string(fields[5])};
}

template <typename Matches>
StatusOr<std::optional<PasswdEntry>> FindPasswd(absl::string_view text, Matches matches) {
  std::optional<PasswdEntry> found;
  RETURN_IF_ERROR(ScanLines(text, [&](const Fields& fields) {
    std::optional<PasswdEntry> entry = ParsePasswd(fields);
    if (!entry || !matches(*entry)) return false;
    found = std::move(entry);
    return true;
  }));
  return found;
}

StatusOr<std::string> ReadBounded(int fd, const char* path) {
  std::string text;
  char buffer[8192];
  for (;;) {
    const ssize_t n = sys::Retry([&] { return read(fd, buffer, sizeof(buffer)); });
    if (n < 0) return ErrnoStatus(errno, "read the image's ", path);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > kMaxDatabaseBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("read the image's ", path, ": larger than 1 MiB"));
    }
  }
}

}  // namespace

std::optional<uint32_t> ParseId(absl::string_view text) {
  if (text.empty() || text.size() > 10 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  if (value > kMaxId) return std::nullopt;
  return static_cast<uint32_t>(value);
}

bool IsUserName(absl::string_view text) {
  if (text.empty() || text.size() > 255) return false;
  const auto head = static_cast<unsigned char>(text[0]);
  if (!absl::ascii_isalpha(head) && head != '_') return false;
  if (text.back() == '$') text.remove_suffix(1);  // machine accounts of Samba
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' ||
           c == '@';
  });
}

StatusOr<std::optional<PasswdEntry>> FindPasswdByName(absl::string_view text,
                                                      absl::string_view name) {
  return FindPasswd(text, [&](const PasswdEntry& entry) { return entry.name == name; });
}

StatusOr<std::optional<PasswdEntry>> FindPasswdByUid(absl::string_view text, uint32_t uid) {
  return FindPasswd(text, [&](const PasswdEntry& entry) { return entry.uid == uid; });
}

StatusOr<std::optional<uint32_t>> FindGroupByName(absl::string_view text, absl::string_view name) {
  std::optional<uint32_t> found;
  RETURN_IF_ERROR(ScanLines(text, [&](const Fields& fields) {
    if (fields.size() == 4 && fields[0] == name) found = ParseId(fields[2]);
    return found.has_value();
  }));
  return found;
}

StatusOr<std::vector<uint32_t>> GroupsOfMember(absl::string_view text, absl::string_view user) {
  std::vector<uint32_t> groups;
  RETURN_IF_ERROR(ScanLines(text, [&](const Fields& fields) {
    if (fields.size() != 4 || fields[0].empty()) return false;
    const std::optional<uint32_t> gid = ParseId(fields[2]);
    if (!gid) return false;
    for (absl::string_view member : absl::StrSplit(fields[3], ',')) {
      if (member == user) {
        groups.push_back(*gid);
        break;
      }
    }
    return false;
  }));
  return groups;
}

StatusOr<std::string> ReadDatabase(int rootfs, const char* path) {
  // O_PATH first: opening a FIFO waits and opening a device node may act.
  UniqueFd found(sys::OpenInRoot(rootfs, path, O_PATH));
  if (!found.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::string();
    return ErrnoStatus(errno, "open the image's ", path);
  }
  struct stat info;
  if (fstat(found.get(), &info) != 0) return ErrnoStatus(errno, "stat the image's ", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("open the image's ", path, ": not a regular file"));
  }
  // The magic link is ours and leads to exactly the inode that was checked.
  const std::string self = absl::StrCat("/proc/self/fd/", found.get());
  UniqueFd fd(open(self.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return ErrnoStatus(errno, "open the image's ", path);
  return ReadBounded(fd.get(), path);
}

}  // namespace crisp::runtime
