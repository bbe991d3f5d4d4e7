// The image service behind image_service.h: an index of its verbs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "imageservice/image_service.h"
#include "imageservice/image_store.h"
#include "imageservice/layers/layer_store.h"
#include "imageservice/pull.h"

namespace crisp::image {

class Service : public ImageService {
 public:
  static StatusOr<std::unique_ptr<Service>> Open(const ImageOptions& options);
  ~Service() override;

  StatusOr<std::string> Pull(const std::string& reference, const Auth& auth,
                             const std::function<bool()>& cancelled) override;
  StatusOr<std::optional<ImageInfo>> Find(const std::string& reference) override;
  std::vector<ImageInfo> List() override;
  Status Remove(const std::string& reference) override;
  StatusOr<FsUsage> Usage() override;
  StatusOr<ImageHandle> Acquire(const std::string& reference) override;
  StatusOr<std::shared_ptr<void>> Hold(const std::vector<std::string>& lower_dirs) override;
  Status DropUnused() override { return layers_->DropUnknown(); }
  StatusOr<std::string> LoadLayout(const std::string& directory, const std::string& tag,
                                   bool pin) override;
  std::vector<PullProgress> Pulls() override;

 private:
  Service() = default;
  Status MarkInUse();

  ImageOptions options_;
  UniqueFd root_;
  bool power_lost_ = false;
  std::shared_ptr<LayerStore> layers_;
  std::unique_ptr<ImageStore> images_;
  std::unique_ptr<Puller> puller_;  // ends before the stores that it fills
};

}  // namespace crisp::image
