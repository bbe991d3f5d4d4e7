// Where an image's bytes come from: a registry or an OCI layout directory. Gives bytes; who asked
// checks digests and meaning.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "imageservice/layers/layer_store.h"
#include "imageservice/manifest.h"
#include "runtime/base/status.h"

namespace crisp::image {

struct FetchedDocument {
  std::string text, content_type;
};

class BlobSource {
 public:
  virtual ~BlobSource() = default;
  // `digest` empty: the one that the reference names. At most kMaxManifestBytes.
  virtual StatusOr<FetchedDocument> Manifest(const std::string& digest) = 0;
  // Delivers the blob, never more than descriptor.size bytes. Several threads may call it.
  virtual Status Stream(const Descriptor& blob, const ByteSink& sink) = 0;
};

// What the outside sees of a pull that runs; also carries its cancel flag.
struct PullState {
  std::string reference;
  int64_t started_nanos = 0;
  std::atomic<uint64_t> bytes_done{0}, bytes_total{0};
  std::atomic<int> layers_done{0}, layers_total{0};
  std::atomic<bool> cancelled{false};
};

}  // namespace crisp::image
