#include "imageservice/assemble.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "imageservice/content/digest.h"
#include "imageservice/manifest.h"

namespace crisp::image {
namespace {

Status DigestMismatch(absl::string_view what, absl::string_view expected, absl::string_view got) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": digest mismatch: expected ", expected, ", got ", got));
}

StatusOr<FetchedDocument> VerifiedManifest(BlobSource* source, const std::string& digest) {
  ASSIGN_OR_RETURN(FetchedDocument document, source->Manifest(digest));
  const std::string got = DigestOf(document.text);
  if (!digest.empty() && got != digest) return DigestMismatch("image manifest", digest, got);
  return document;
}

// Follows indexes to the manifest of this machine. `*root` is the digest of the first document.
StatusOr<ManifestDocument> ResolveManifest(BlobSource* source, const std::string& expected,
                                           std::string* root) {
  std::string digest = expected, type;
  for (int nesting = 0; nesting <= kMaxIndexNesting; ++nesting) {
    ASSIGN_OR_RETURN(const FetchedDocument fetched, VerifiedManifest(source, digest));
    if (root->empty()) *root = DigestOf(fetched.text);
    // The index said what it points to; a document that is something else is refused.
    ASSIGN_OR_RETURN(ManifestDocument document,
                     ParseManifest(fetched.text, type.empty() ? fetched.content_type : type));
    if (!document.is_index) return document;
    ASSIGN_OR_RETURN(const Descriptor chosen, ChoosePlatform(document.entries));
    digest = chosen.digest;
    type = chosen.media_type;
  }
  return absl::InvalidArgumentError("image manifest: indexes nested deeper than 2");
}

StatusOr<std::string> FetchConfig(BlobSource* source, const Descriptor& config) {
  std::string text;
  RETURN_IF_ERROR(source->Stream(config, [&](absl::string_view bytes) {
    if (text.size() + bytes.size() > config.size) {
      return absl::InvalidArgumentError("image config: larger than its descriptor says");
    }
    text.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }));
  const std::string got = DigestOf(text);
  if (got != config.digest) return DigestMismatch("image config", config.digest, got);
  return text;
}

// Layers in parallel: each worker takes the next index until one fails.
class LayerWorkers {
 public:
  LayerWorkers(const std::vector<LayerSource>& wanted, LayerStore* store, PullState* state)
      : wanted_(wanted), store_(store), state_(state), layers_(wanted.size()) {}

  StatusOr<std::vector<LayerPtr>> Run(int parallel) {
    const size_t count = std::min(wanted_.size(), static_cast<size_t>(std::max(parallel, 1)));
    std::vector<std::thread> threads;
    for (size_t i = 1; i < count; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    if (!error_.ok()) return error_;
    return std::move(layers_);
  }

 private:
  bool Stopped() { return failed_.load() || state_->cancelled.load(); }

  void Work() {
    for (;;) {
      const size_t index = next_.fetch_add(1);
      if (index >= wanted_.size() || failed_.load()) return;
      const LayerSource& wanted = wanted_[index];
      StatusOr<LayerPtr> layer = store_->Ensure(wanted, [this] { return Stopped(); });
      if (!layer.ok())
        return Fail(Annotate(layer.status(), "layer ", wanted_[index].request.digest));
      layers_[index] = *std::move(layer);  // each index has one writer
      state_->layers_done.fetch_add(1);
    }
  }

  // The first failure is the reason; what the others say is only its consequence.
  void Fail(const Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error_.ok()) error_ = status;
    failed_.store(true);
  }

  const std::vector<LayerSource>& wanted_;
  LayerStore* store_;
  PullState* state_;
  std::vector<LayerPtr> layers_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  Status error_;
};

StatusOr<std::vector<LayerSource>> WantedLayers(BlobSource* source,
                                                const ManifestDocument& manifest,
                                                const std::vector<std::string>& diff_ids,
                                                PullState* state) {
  if (manifest.layers.size() != diff_ids.size()) {
    return absl::InvalidArgumentError(absl::StrCat("image manifest: ", manifest.layers.size(),
                                                   " layers, but the config names ",
                                                   diff_ids.size()));
  }
  std::vector<LayerSource> wanted;
  for (size_t i = 0; i < diff_ids.size(); ++i) {
    const Descriptor& blob = manifest.layers[i];
    ASSIGN_OR_RETURN(const std::string compression, CompressionOf(blob.media_type));
    LayerSource layer;
    layer.request = {compression, blob.digest, blob.size, diff_ids[i], 0};
    layer.stream = [source, blob, state](const ByteSink& sink) {
      return source->Stream(blob, [&](absl::string_view bytes) {
        state->bytes_done.fetch_add(bytes.size());
        return sink(bytes);
      });
    };
    state->bytes_total.fetch_add(blob.size);
    wanted.push_back(std::move(layer));
  }
  state->layers_total = static_cast<int>(wanted.size());
  return wanted;
}

}  // namespace

StatusOr<AssembledImage> Assemble(BlobSource* source, const std::string& expected,
                                  LayerStore* layers, int parallel, PullState* state) {
  AssembledImage image;
  ASSIGN_OR_RETURN(const ManifestDocument manifest,
                   ResolveManifest(source, expected, &image.digest));
  ASSIGN_OR_RETURN(image.record.config_json, FetchConfig(source, manifest.config));
  ASSIGN_OR_RETURN(const ParsedConfig config, ParseImageConfig(image.record.config_json));
  RETURN_IF_ERROR(CheckPlatform(config));
  ASSIGN_OR_RETURN(const std::vector<LayerSource> wanted,
                   WantedLayers(source, manifest, config.diff_ids, state));
  ASSIGN_OR_RETURN(image.layers, LayerWorkers(wanted, layers, state).Run(parallel));
  image.record.id = manifest.config.digest;
  image.record.diff_ids = config.diff_ids;
  image.record.size = manifest.config.size;
  for (const Descriptor& layer : manifest.layers) image.record.size += layer.size;
  return image;
}

}  // namespace crisp::image
