#include "imageservice/layers/extract.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

#include "imageservice/layers/entry_metadata.h"
#include "runtime/sys/retry.h"

namespace crisp::image {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";  // aufs' own files
constexpr size_t kMaxRememberedTimes = 64 << 20;
constexpr uint64_t kSpaceCheckEvery = 64 << 20;
constexpr uint64_t kBlock = 4096;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

uint64_t RoundUp(uint64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

}  // namespace

Outcome Extractor::Add(const TarEntry& entry, TarReader* reader) {
  if (stale_) tree_.Forget();
  stale_ = false;
  EntryPath path;
  OUTCOME_TRY(CleanPath(entry.path, &path).In("entry " + entry.path));
  if (path.leaf.empty()) return AddRoot(entry).In("entry " + entry.path);
  Place place;
  place.leaf = path.leaf;
  place.path = path.Text();
  OUTCOME_TRY(
      tree_.OpenDirectory(path.directory, true, &place.directory).In("entry " + entry.path));
  return AddAt(entry, place, reader).In("entry " + entry.path);
}

Outcome Extractor::AddAt(const TarEntry& entry, const Place& place, TarReader* reader) {
  if (StartsWith(place.leaf, kWhiteout)) return AddWhiteout(place);
  switch (entry.type) {
    case TarEntry::Type::kFile:
      return AddFile(entry, place, reader);
    case TarEntry::Type::kDirectory:
      return AddDirectory(entry, place);
    case TarEntry::Type::kHardLink:
      return AddHardLink(entry, place);
    case TarEntry::Type::kSymlink:
      return AddSymlink(entry, place);
    case TarEntry::Type::kFifo:
      return AddFifo(entry, place);
    case TarEntry::Type::kDevice:
      return {};  // no image needs one (/dev is the runtime's), and making one needs CAP_MKNOD
  }
  return {};
}

// The root exists already: its entry may only say how it looks.
Outcome Extractor::AddRoot(const TarEntry& entry) {
  if (entry.type != TarEntry::Type::kDirectory) {
    return Outcome::BadLayer("the root is not a directory");
  }
  RememberTime(entry, ".");
  return SetFileMetadata(root_, entry);
}

Outcome Extractor::AddWhiteout(const Place& place) {
  if (place.leaf == kOpaque) {
    if (place.path == place.leaf) opaque_root_ = true;
    return SetOpaque(place.directory);
  }
  if (StartsWith(place.leaf, kWhiteoutMeta)) return {};
  const std::string name = place.leaf.substr(kWhiteout.size());
  if (name.empty() || name == "." || name == "..") {
    return Outcome::BadLayer("whiteout without a name");
  }
  if (mknodat(place.directory, name.c_str(), S_IFCHR, 0) == 0) {
    ++inodes_;
    return {};
  }
  if (errno != EEXIST) return Outcome::System(errno, "make whiteout");
  // A whiteout hides lower layers only: this layer's own entry stays. A file hides them by itself,
  // a directory needs the mark.
  UniqueFd own(
      openat(place.directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return own.valid() ? SetOpaque(own.get()) : Outcome();
}

// The name is taken and the last entry wins.
Outcome Extractor::MakeRoom(const Place& place) {
  struct stat info;
  if (fstatat(place.directory, place.name(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Outcome() : Outcome::System(errno, "stat");
  }
  OUTCOME_TRY(RemoveAt(place.directory, place.leaf));
  stale_ = stale_ || S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode);
  return {};
}

Outcome Extractor::AddFile(const TarEntry& entry, const Place& place, TarReader* reader) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(openat(place.directory, place.name(), kFlags, 0600));
  if (!file.valid() && errno == EEXIST) {
    OUTCOME_TRY(MakeRoom(place));
    file.Reset(openat(place.directory, place.name(), kFlags, 0600));
  }
  if (!file.valid()) return Outcome::System(errno, "create");
  ++inodes_;
  OUTCOME_TRY(CheckFreeSpace(kBlock));
  OUTCOME_TRY(CopyData(entry, file.get(), reader));
  OUTCOME_TRY(SetFileMetadata(file.get(), entry));
  return {};
}

Outcome Extractor::AddDirectory(const TarEntry& entry, const Place& place) {
  bool was_whiteout = false;
  if (mkdirat(place.directory, place.name(), 0700) != 0) {
    if (errno != EEXIST) return Outcome::System(errno, "mkdir");
    struct stat info;
    if (fstatat(place.directory, place.name(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return Outcome::System(errno, "stat");
    }
    if (!S_ISDIR(info.st_mode)) {
      was_whiteout = S_ISCHR(info.st_mode);
      OUTCOME_TRY(MakeRoom(place));
      if (mkdirat(place.directory, place.name(), 0700) != 0) return Outcome::System(errno, "mkdir");
    } else {
      --inodes_;
    }
  }
  ++inodes_;
  bytes_ += kBlock;
  OUTCOME_TRY(CheckFreeSpace(kBlock));
  if (was_whiteout) {
    UniqueFd made(
        openat(place.directory, place.name(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    OUTCOME_TRY(SetOpaque(made.get()));
  }
  RememberTime(entry, place.path);
  return SetNamedMetadata(place.directory, place.name(), entry, true);
}

Outcome Extractor::AddHardLink(const TarEntry& entry, const Place& place) {
  EntryPath target;
  OUTCOME_TRY(CleanPath(entry.link, &target).In("hard link target"));
  if (target.leaf.empty()) return Outcome::BadLayer("hard link to the root");
  int from = -1;
  OUTCOME_TRY(tree_.OpenDirectory(target.directory, false, &from).In("hard link target"));
  struct stat info, own;
  if (fstatat(from, target.leaf.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
      S_ISCHR(info.st_mode)) {  // a whiteout is nothing that one can link to
    return Outcome::BadLayer("hard link to " + entry.link + ", which is not in this layer");
  }
  if (S_ISDIR(info.st_mode)) return Outcome::BadLayer("hard link to a directory");
  int directory = -1;  // the look-up above may have dropped ours from the cache
  EntryPath path;
  OUTCOME_TRY(CleanPath(entry.path, &path));
  OUTCOME_TRY(tree_.OpenDirectory(path.directory, true, &directory));
  if (fstatat(directory, place.name(), &own, AT_SYMLINK_NOFOLLOW) == 0) {
    if (own.st_ino == info.st_ino && own.st_dev == info.st_dev) return {};  // to itself
    OUTCOME_TRY(RemoveAt(directory, place.leaf));
    tree_.Forget();
    OUTCOME_TRY(tree_.OpenDirectory(path.directory, true, &directory));
    OUTCOME_TRY(tree_.OpenDirectory(target.directory, false, &from).In("hard link target"));
  }
  if (linkat(from, target.leaf.c_str(), directory, place.name(), 0) == 0) return {};
  return Outcome::System(errno, "link to " + entry.link);
}

Outcome Extractor::AddSymlink(const TarEntry& entry, const Place& place) {
  if (entry.link.empty()) return Outcome::BadLayer("symbolic link without a target");
  if (symlinkat(entry.link.c_str(), place.directory, place.name()) != 0) {
    if (errno != EEXIST) return Outcome::System(errno, "symlink");
    OUTCOME_TRY(MakeRoom(place));
    if (symlinkat(entry.link.c_str(), place.directory, place.name()) != 0) {
      return Outcome::System(errno, "symlink");
    }
  }
  ++inodes_;
  OUTCOME_TRY(SetNamedMetadata(place.directory, place.name(), entry, false));
  return {};
}

Outcome Extractor::AddFifo(const TarEntry& entry, const Place& place) {
  if (mknodat(place.directory, place.name(), S_IFIFO | 0600, 0) != 0) {
    if (errno != EEXIST) return Outcome::System(errno, "mkfifo");
    OUTCOME_TRY(MakeRoom(place));
    if (mknodat(place.directory, place.name(), S_IFIFO | 0600, 0) != 0) {
      return Outcome::System(errno, "mkfifo");
    }
  }
  ++inodes_;
  OUTCOME_TRY(SetNamedMetadata(place.directory, place.name(), entry, true));
  return {};
}

Outcome Extractor::CopyData(const TarEntry& entry, int file, TarReader* reader) {
  data_rest_ = {};
  bytes_ += RoundUp(entry.size);
  if (!entry.is_sparse) return CopyRange(file, 0, entry.size, reader);
  for (const SparseRange& range : entry.sparse) {
    OUTCOME_TRY(CopyRange(file, range.offset, range.size, reader));
  }
  if (ftruncate(file, static_cast<off_t>(entry.real_size)) != 0) {
    return Outcome::System(errno, "truncate");
  }
  return {};
}

Outcome Extractor::CopyRange(int file, uint64_t offset, uint64_t size, TarReader* reader) {
  while (size > 0) {
    if (data_rest_.empty()) OUTCOME_TRY(reader->Data(&data_rest_));
    if (data_rest_.empty()) return Outcome::BadLayer("the file's data is too short");
    const size_t part = static_cast<size_t>(std::min<uint64_t>(size, data_rest_.size()));
    OUTCOME_TRY(CheckFreeSpace(part));
    const ssize_t n = sys::Retry(
        [&] { return pwrite(file, data_rest_.data(), part, static_cast<off_t>(offset)); });
    if (n < 0) return Outcome::System(errno, "write");
    data_rest_.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
    size -= static_cast<uint64_t>(n);
  }
  return {};
}

Outcome Extractor::CheckFreeSpace(uint64_t about_to_write) {
  unchecked_ += about_to_write;
  if (unchecked_ < kSpaceCheckEvery) return {};
  unchecked_ = 0;
  struct statfs info;
  if (fstatfs(root_, &info) != 0) return Outcome::System(errno, "statfs");
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * static_cast<uint64_t>(info.f_bsize);
  if (free < reserve_ + kSpaceCheckEvery) return Outcome::System(ENOSPC, "reserve of free space");
  return {};
}

void Extractor::RememberTime(const TarEntry& entry, const std::string& path) {
  const size_t size = sizeof(int64_t) * 2 + path.size() + 1;
  if (times_.size() + size > kMaxRememberedTimes) return;
  const int64_t time[2] = {entry.mtime, entry.mtime_nanos};
  times_.append(reinterpret_cast<const char*>(time), sizeof(time));
  times_.append(path.c_str(), path.size() + 1);
}

Outcome Extractor::Finish() {
  for (size_t at = 0; at < times_.size();) {
    int64_t time[2];
    memcpy(time, times_.data() + at, sizeof(time));
    const char* path = times_.data() + at + sizeof(time);
    at += sizeof(time) + strlen(path) + 1;
    const timespec times[2] = {{time[0], time[1]}, {time[0], time[1]}};
    // What a later entry replaced has its own time or none that matters.
    if (utimensat(root_, path, times, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT &&
        errno != ENOTDIR && errno != ELOOP) {
      return Outcome::System(errno, std::string("set time of ") + path);
    }
  }
  return {};
}

}  // namespace crisp::image
