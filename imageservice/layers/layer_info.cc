#include "imageservice/layers/layer_info.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "runtime/sys/mount.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxInfo = 4096;
constexpr int kMaxDepth = 300;

class TreeCounter {
 public:
  Status Count(int directory, int depth) {
    if (depth > kMaxDepth) return absl::DataLossError("deeper than any layer");
    ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(directory));
    for (const std::string& name : names) {
      struct stat info;
      if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return ErrnoStatus(errno, "stat ", name);
      }
      Add(info);
      if (!S_ISDIR(info.st_mode)) continue;
      const UniqueFd child(
          openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child.valid()) return ErrnoStatus(errno, "open ", name);
      RETURN_IF_ERROR(Count(child.get(), depth + 1));
    }
    return absl::OkStatus();
  }
  const LayerInfo& sum() const { return sum_; }

 private:
  void Add(const struct stat& info) {
    const bool linked = !S_ISDIR(info.st_mode) && info.st_nlink > 1;
    if (linked && !seen_.insert(info.st_ino).second) return;
    ++sum_.inodes;
    sum_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    if (S_ISREG(info.st_mode)) sum_.data_bytes += static_cast<uint64_t>(info.st_size);
  }
  LayerInfo sum_;
  std::unordered_set<ino_t> seen_;  // inodes with several names count once
};

}  // namespace

StatusOr<LayerInfo> ReadLayerInfo(int layers, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(layers, absl::StrCat(name, "/info"), kMaxInfo));
  const auto json = ParseJson(text);
  if (!json.ok() || !json->is_object()) return absl::DataLossError("damaged layer record");
  const auto number = [&](const char* key) -> uint64_t {
    const auto found = json->find(key);
    return found != json->end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  };
  LayerInfo info;
  info.bytes = number("bytes");
  info.inodes = number("inodes");
  info.data_bytes = number("dataBytes");
  info.opaque_root = number("opaqueRoot") != 0;
  const UniqueFd fs(openat(layers, absl::StrCat(name, "/fs").c_str(),
                           O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fs.valid()) return ErrnoStatus(errno, "open layer ", name);
  return info;
}

Status WriteLayerInfo(int layers, const std::string& name, const LayerInfo& info) {
  const UniqueFd directory(openat(layers, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoStatus(errno, "open layer ", name);
  const Json json = {{"bytes", info.bytes},
                     {"inodes", info.inodes},
                     {"dataBytes", info.data_bytes},
                     {"opaqueRoot", info.opaque_root ? 1U : 0U}};
  // Not synced here: one syncfs for all layers of a pull, before the image's record.
  return WriteFileAtomic(directory.get(), "info", json.dump(), 0600, false);
}

StatusOr<LayerInfo> MeasureLayer(int layers, const std::string& name) {
  const UniqueFd fs(openat(layers, absl::StrCat(name, "/fs").c_str(),
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fs.valid()) return ErrnoStatus(errno, "open layer ", name);
  TreeCounter counter;
  RETURN_IF_ERROR(counter.Count(fs.get(), 0));
  return counter.sum();
}

Status CheckLayerTree(int layers, const std::string& name, const LayerInfo& info) {
  ASSIGN_OR_RETURN(const LayerInfo found, MeasureLayer(layers, name));
  if (found.inodes == info.inodes && found.data_bytes == info.data_bytes) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("layer ", name, ": ", found.inodes, " inodes with ",
                                          found.data_bytes, " bytes, recorded ", info.inodes,
                                          " with ", info.data_bytes));
}

}  // namespace crisp::image
