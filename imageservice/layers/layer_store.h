// Unpacked layers on disk, by diffID, shared between images. A layer lives as long as somebody
// holds its Layer object (image record, container, pull); the last holder's release removes it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "imageservice/layers/trash.h"
#include "imageservice/layers/unpack_process.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::image {

class LayerStore;

struct LayerInfo {
  uint64_t bytes = 0, inodes = 0;  // on disk
  uint64_t data_bytes = 0;         // sum of file sizes: what a damaged tree is told by
  bool opaque_root = false;        // hides every layer below it
};

class Layer {
 public:
  Layer(std::weak_ptr<LayerStore> store, std::string diff_id, std::string path,
        const LayerInfo& info, uint64_t generation)
      : store_(std::move(store)),
        diff_id_(std::move(diff_id)),
        path_(std::move(path)),
        info_(info),
        generation_(generation) {}
  ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  const std::string& diff_id() const { return diff_id_; }
  const std::string& path() const { return path_; }  // absolute, of the root directory
  const LayerInfo& info() const { return info_; }

 private:
  const std::weak_ptr<LayerStore> store_;
  const std::string diff_id_, path_;
  const LayerInfo info_;
  const uint64_t generation_;
};

using LayerPtr = std::shared_ptr<const Layer>;
using ByteSink = std::function<Status(absl::string_view)>;

struct LayerSource {
  UnpackRequest request;
  // Delivers the compressed bytes in order.
  std::function<Status(const ByteSink&)> stream;
};

class LayerStore : public std::enable_shared_from_this<LayerStore> {
 public:
  // `root`: <root>/images. `unpacker`: path of crisp-unpack.
  static StatusOr<std::shared_ptr<LayerStore>> Open(const std::string& root,
                                                    const std::string& unpacker);
  // From now on released layers stay on disk: the daemon ends, the images do not.
  void Close();

  // A layer that an image record names. NOT_FOUND, or with `deep` also DATA_LOSS if the tree is
  // not what was unpacked.
  StatusOr<LayerPtr> Adopt(const std::string& diff_id, bool deep);
  // By the path that a Layer gave in an earlier life of the daemon.
  StatusOr<LayerPtr> AdoptPath(const std::string& path);
  // Whatever was not adopted is half-made or unreferenced: goes to the trash.
  Status DropUnknown();

  // The layer, unpacked now unless it is there; one unpack at a time per diffID, the others wait.
  StatusOr<LayerPtr> Ensure(const LayerSource& source, const std::function<bool()>& cancelled);

  // Everything unpacked so far survives a power loss after this.
  Status Sync();
  LayerInfo Usage();

 private:
  friend class Layer;
  struct Known {
    std::weak_ptr<const Layer> layer;
    LayerInfo info;
    uint64_t generation = 0;
  };
  LayerStore() = default;
  LayerPtr Register(const std::string& diff_id, const LayerInfo& info);
  LayerPtr Lookup(const std::string& diff_id);
  StatusOr<LayerPtr> Unpack(const LayerSource& source, const std::function<bool()>& cancelled);
  StatusOr<LayerInfo> UnpackInto(const std::string& name, const LayerSource& source,
                                 const std::function<bool()>& cancelled);
  void Release(const std::string& diff_id, uint64_t generation);

  std::string path_;  // <root>/images/layers
  UniqueFd directory_, unpacker_;
  std::unique_ptr<Trash> trash_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Known> known_;  // by diffID
  std::set<std::string> unpacking_;
  uint64_t generations_ = 0;
  bool closed_ = false;
};

}  // namespace crisp::image
