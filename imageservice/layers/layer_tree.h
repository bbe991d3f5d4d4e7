// Directories of the layer being unpacked, by descriptor. Every resolution is openat2 below the
// root; symbolic links of the layer are followed inside it, as they would be in the container.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "imageservice/layers/outcome.h"
#include "runtime/sys/fd.h"

namespace crisp::image {

inline constexpr size_t kMaxDepth = 256;
inline constexpr size_t kMaxComponent = 255;

// Where an entry goes: the directory and the last component; both empty for the root itself.
struct EntryPath {
  std::string directory, leaf;
  std::string Text() const { return directory.empty() ? leaf : directory + "/" + leaf; }
};

// Drops "/", "//" and "."; refuses "..", too long and too deep names, and whiteout names as
// directories.
Outcome CleanPath(std::string_view path, EntryPath* out);

class LayerTree {
 public:
  explicit LayerTree(int root) : root_(root) {}

  // The directory's descriptor, borrowed until Forget or some later calls. With `create`, missing
  // directories are made (OCI: implicit parents, 0755 and root's).
  Outcome OpenDirectory(const std::string& path, bool create, int* fd);
  // A directory or a link was replaced: cached descriptors may name something else now.
  void Forget() { cache_.clear(); }
  uint64_t made() const { return made_; }

 private:
  struct Cached {
    std::string path;
    UniqueFd fd;
  };
  int Open(const std::string& path, int flags) const;
  Outcome MakeAll(const std::string& path, int links_left);
  Outcome MakeOne(const std::string& parent, const std::string& name, int links_left);

  int root_;
  std::vector<Cached> cache_;  // the last used first
  uint64_t made_ = 0;
};

// rm -rf of one name, staying inside.
Outcome RemoveAt(int directory, const std::string& name);

// Marks a directory as hiding the lower layers' entries (overlay with userxattr).
Outcome SetOpaque(int directory);

}  // namespace crisp::image
