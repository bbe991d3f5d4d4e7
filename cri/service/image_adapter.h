// CRI's image verbs on the image service: thin.
#pragma once

#include "cri/api/services.h"
#include "imageservice/image_service.h"

namespace crisp::cri {

class ImageAdapter : public ImageHandler {
 public:
  explicit ImageAdapter(image::ImageService* images) : images_(images) {}

  Status ListImages(const v1::ListImagesRequest&, v1::ListImagesResponse*, CallContext&) override;
  Status StreamImages(const v1::StreamImagesRequest&, StreamWriter<v1::StreamImagesResponse>&,
                      CallContext&) override;
  Status ImageStatus(const v1::ImageStatusRequest&, v1::ImageStatusResponse*,
                     CallContext&) override;
  Status PullImage(const v1::PullImageRequest&, v1::PullImageResponse*, CallContext&) override;
  Status RemoveImage(const v1::RemoveImageRequest&, v1::RemoveImageResponse*,
                     CallContext&) override;
  Status ImageFsInfo(const v1::ImageFsInfoRequest&, v1::ImageFsInfoResponse*,
                     CallContext&) override;

 private:
  image::ImageService* images_;
};

}  // namespace crisp::cri
