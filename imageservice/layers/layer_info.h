// The small record beside an unpacked layer, and the check of the tree against it.
#pragma once

#include <string>

#include "imageservice/layers/layer_store.h"
#include "runtime/base/status.h"

namespace crisp::image {

// layers/<name>/info. NOT_FOUND without layer or record, DATA_LOSS if it is damaged.
StatusOr<LayerInfo> ReadLayerInfo(int layers, const std::string& name);
Status WriteLayerInfo(int layers, const std::string& name, const LayerInfo& info);

// Counts the tree as it is on disk.
StatusOr<LayerInfo> MeasureLayer(int layers, const std::string& name);
// After a power loss. DATA_LOSS if files or bytes are missing.
Status CheckLayerTree(int layers, const std::string& name, const LayerInfo& info);

}  // namespace crisp::image
