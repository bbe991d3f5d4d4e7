// From a source of bytes to an unpacked, verified image: index -> manifest -> config -> layers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "imageservice/blob_source.h"
#include "imageservice/image_record.h"
#include "imageservice/layers/layer_store.h"

namespace crisp::image {

struct AssembledImage {
  ImageRecord record;  // id, config, diff ids, size; names are the caller's
  std::string digest;  // of the document that was asked for: the index if there is one
  std::vector<LayerPtr> layers;
};

// `expected`: digest of the first document, or empty. Layers are fetched and unpacked by up to
// `parallel` threads.
StatusOr<AssembledImage> Assemble(BlobSource* source, const std::string& expected,
                                  LayerStore* layers, int parallel, PullState* state);

}  // namespace crisp::image
