// Does on disk what the entries of a layer say. Order and last-entry-wins as in the archive;
// whiteouts become overlay's own form. Source: OCI image-spec 1.1 layer.md.
#pragma once

#include <cstdint>
#include <string>

#include "imageservice/layers/layer_tree.h"
#include "imageservice/layers/outcome.h"
#include "imageservice/layers/tar_reader.h"

namespace crisp::image {

class Extractor {
 public:
  // Keeps `reserve` bytes of the file system free.
  Extractor(int root, uint64_t reserve) : root_(root), reserve_(reserve), tree_(root) {}

  Outcome Add(const TarEntry& entry, TarReader* reader);
  // Times of directories, which change while their entries are made.
  Outcome Finish();

  uint64_t bytes() const { return bytes_; }
  uint64_t inodes() const { return inodes_ + tree_.made(); }
  bool opaque_root() const { return opaque_root_; }

 private:
  struct Place {  // of the entry at hand
    int directory = -1;
    std::string leaf, path;
    const char* name() const { return leaf.c_str(); }
  };
  Outcome AddRoot(const TarEntry& entry);
  Outcome AddAt(const TarEntry& entry, const Place& place, TarReader* reader);
  Outcome AddWhiteout(const Place& place);
  Outcome AddFile(const TarEntry& entry, const Place& place, TarReader* reader);
  Outcome AddDirectory(const TarEntry& entry, const Place& place);
  Outcome AddHardLink(const TarEntry& entry, const Place& place);
  Outcome AddSymlink(const TarEntry& entry, const Place& place);
  Outcome AddFifo(const TarEntry& entry, const Place& place);
  Outcome MakeRoom(const Place& place);
  Outcome CopyData(const TarEntry& entry, int file, TarReader* reader);
  Outcome CopyRange(int file, uint64_t offset, uint64_t size, TarReader* reader);
  Outcome CheckFreeSpace(uint64_t about_to_write);
  void RememberTime(const TarEntry& entry, const std::string& path);

  int root_;
  uint64_t reserve_;
  LayerTree tree_;
  uint64_t bytes_ = 0, inodes_ = 0, unchecked_ = 0;
  bool opaque_root_ = false;
  bool stale_ = false;  // a directory or link was removed: cached descriptors may mislead
  std::string_view data_rest_;
  std::string times_;  // packed {seconds, nanos, path, NUL}: a million directories stay small
};

}  // namespace crisp::image
