// The images of this node: records in memory for every query, the same records on disk. An image
// holds its layers; queries never wait for a write.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "imageservice/image_record.h"
#include "imageservice/image_service.h"
#include "imageservice/layers/layer_store.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::image {

struct StoredImage {
  ImageRecord record;
  ImageInfo info;
  std::vector<LayerPtr> layers;  // bottom to top
};
using StoredImagePtr = std::shared_ptr<const StoredImage>;

class ImageStore {
 public:
  // Loads every record whose layers are there; the others are dropped (the kubelet pulls again).
  // `deep`: also counts the trees (after a power loss).
  static StatusOr<std::unique_ptr<ImageStore>> Open(const std::string& root,
                                                    std::shared_ptr<LayerStore> layers, bool deep);

  // Adds the image, or tags and digests to the one of the same id; takes the tags from others.
  // Durable when it returns.
  Status Put(ImageRecord record, std::vector<LayerPtr> layers);
  // By any form of reference. INVALID_ARGUMENT: an ambiguous id prefix.
  StatusOr<StoredImagePtr> Find(const std::string& reference);
  std::vector<StoredImagePtr> List();
  // Invisible at once; layers go with the last holder.
  Status Remove(const std::string& id);

 private:
  ImageStore() = default;
  Status Load(LayerStore* layers, bool deep);
  Status Save(const ImageRecord& record);
  Status TakeTags(const ImageRecord& from);
  StoredImagePtr Get(const std::string& id);
  void Set(StoredImagePtr image);
  StoredImagePtr FindByName(const std::string& reference);
  StatusOr<StoredImagePtr> FindByPrefix(const std::string& hex);

  std::shared_ptr<LayerStore> layers_;
  UniqueFd records_;
  std::mutex writing_;                            // one change at a time, held over fsync
  std::mutex mutex_;                              // guards images_, never held over I/O
  std::map<std::string, StoredImagePtr> images_;  // by id
};

// The answer's form of a record.
StatusOr<StoredImagePtr> MakeStoredImage(ImageRecord record, std::vector<LayerPtr> layers);

}  // namespace crisp::image
